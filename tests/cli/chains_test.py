"""Jobs that run after other jobs."""

import unittest

import program


class ChainsTest(program.CliTest):
    def runs_of(self, name):
        return [(run["verdict"], run["triggered"]) for run in self.json("runs", name)]

    def test_a_chain_runs_to_its_end(self):
        self.run_cli("add", "last", "manual", "--", "true")
        self.run_cli("add", "mend", "manual", "--on-end", "last", "--", "true")
        self.run_cli("add", "never", "manual", "--", "true")
        self.run_cli("add", "first", "manual", "--on-failure", "mend", "--on-success", "never", "--", "false")
        shown = self.json("show", "first")
        self.assertEqual((shown["next"], shown["definition"]["on_failure"], shown["definition"]["on_success"]),
                         (None, ["mend"], ["never"]))
        self.assertIn("when triggered", self.run_cli("list"))
        pod = program.Pod(self)
        self.run_cli("trigger", "first")
        self.wait_for(lambda: self.runs_of("last"), "the last of the chain")
        pod.stop()
        self.assertEqual((self.runs_of("first"), self.runs_of("mend"), self.runs_of("last"), self.runs_of("never")),
                         ([("failed", True)], [("succeeded", True)], [("succeeded", True)], []))
        self.assertTrue(self.json("audit")["holds"])

    def test_occurrences_that_may_overlap_run_beside_each_other(self):
        self.run_cli("add", "wide", "every 1s", "--overlap", "allow", "--", "sleep", "2.5")
        self.assertEqual(self.json("show", "wide")["definition"]["overlap"], "allow")
        pod = program.Pod(self)
        ended = self.wait_for(lambda: [run for run in self.json("runs", "wide") if run["verdict"] == "succeeded"][2:],
                              "three runs to end")
        pod.stop()
        runs = self.json("runs", "wide")
        self.assertTrue(all(run["triggered"] for run in ended))
        points = {run["fire_time"] for run in runs if run["verdict"] == "handed_on"}
        self.assertTrue({run["fire_time"] for run in ended} <= points)
        spans = sorted((run["started_at"], run["finished_at"]) for run in runs if run["verdict"] == "succeeded")
        self.assertTrue(any(later[0] < earlier[1] for earlier, later in zip(spans, spans[1:])), spans)
        self.assertIn("handed on to a run of its own: succeeded", self.run_cli("why", "wide", ended[0]["fire_time"]))
        self.assertTrue(self.json("audit")["holds"])

    def test_circles_and_jobs_that_are_not_there_are_refused(self):
        self.run_cli("add", "c", "manual", "--", "true")
        self.run_cli("add", "b", "manual", "--on-success", "c", "--", "true")
        self.run_cli("add", "a", "every 1h", "--on-end", "b", "--", "true")
        before = self.json("list")
        self.assertIn("c -> a -> b -> c", self.refused("add", "c", "manual", "--on-failure", "a", "--", "true"))
        self.assertIn("itself", self.refused("add", "c", "manual", "--on-end", "c", "--", "true"))
        self.assertIn("'nobody', which is not there", self.refused("add", "d", "manual", "--on-end", "nobody", "--", "true"))
        self.assertEqual(self.json("list"), before)

    def test_a_file_may_name_followers_in_any_order(self):
        file = self.write("jobs.toml", """
[jobs.a]
schedule = "every 1h"
task = "work"
on_success = ["b"]
[jobs.b]
schedule = "manual"
task = "work"
""")
        self.assertEqual(self.run_cli("apply", "-f", file), "a created\nb created\n")
        self.assertEqual(self.json("show", "a")["definition"]["on_success"], ["b"])


if __name__ == "__main__":
    program.main()
