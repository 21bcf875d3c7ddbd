"""What failed for good: list, retry, discard."""

import program


class DeadTest(program.CliTest):
    def fail_twice(self):
        """A job whose command fails until a file is there, its dead letters, and a pod."""
        self.run_cli("add", "a", "at 2020-01-01T00:00:00Z", "--late", "run_all", "--late-threshold", "520w", "--max-attempts", "2",
                     "--retry-delay", "10ms", "--", "sh", "-c", "echo tried; test -e mended")
        self.run_cli("trigger", "a")
        self.run_cli("add", "b", "at 2020-01-01T00:00:00Z", "--late-threshold", "520w", "--", "false")
        self.pod = program.Pod(self)
        return self.wait_for(lambda: (lambda found: found if len(found) == 3 else None)(self.json("dead", "list")),
                             "three dead letters")

    def test_what_fails_for_good_is_listed_retried_and_discarded(self):
        letters = self.fail_twice()
        by_job = {name: [letter for letter in letters if letter["name"] == name] for name in ("a", "b")}
        self.assertEqual(sorted(letter["triggered"] for letter in by_job["a"]), [False, True])
        self.assertEqual({(letter["attempts"], letter["verdict"], letter["error"]) for letter in by_job["a"]},
                         {(2, "failed", "exit status 1")})
        self.assertEqual(by_job["b"][0]["attempts"], 1)
        self.assertEqual(by_job["b"][0]["fire_time"], "2020-01-01T00:00:00Z")
        self.assertEqual([letter["id"] for letter in letters], sorted(letter["id"] for letter in letters))
        self.assertNotIn("payload", letters[0])
        self.assertIn("mended", self.json("dead", "list", "--job", "a", "--limit", "1", "--reveal")[0]["payload"])
        lines = [line.split("\t") for line in self.run_cli("dead", "list").splitlines()]
        self.assertEqual([line[0] for line in lines], [str(letter["id"]) for letter in letters])
        self.assertEqual({len(line) for line in lines}, {7})
        self.assertEqual(len(self.run_cli("dead", "list", "--limit", "2").splitlines()), 2)

        (self.home / "mended").touch()
        self.assertEqual(self.json("dead", "retry", "--all", "--job", "a"),
                         [{"id": letter["id"], "outcome": "retried"} for letter in by_job["a"]])
        self.wait_for(lambda: len([run for run in self.json("runs", "a") if run["verdict"] == "succeeded"]) == 2,
                      "both succeed")
        self.assertEqual([letter["name"] for letter in self.json("dead", "list")], ["b"])
        again = str(by_job["b"][0]["id"])
        self.assertEqual(self.run_cli("dead", "retry", again), f"{again} retried\n")
        fresh = self.wait_for(lambda: self.json("dead", "list"), "it fails again")
        self.assertGreater(fresh[0]["id"], int(again))
        self.assertTrue(fresh[0]["triggered"])
        self.assertEqual(self.run_cli("dead", "discard", "--all"), f"{fresh[0]['id']} discarded\n")
        self.assertEqual(self.run_cli("dead", "list"), "")
        self.assertEqual(self.pod.stop(), 0)

    def test_what_cannot_be_done_is_said_and_the_rest_is_done(self):
        letters = self.fail_twice()
        a = [str(letter["id"]) for letter in letters if letter["name"] == "a"]
        b = next(str(letter["id"]) for letter in letters if letter["name"] == "b")
        self.run_cli("remove", "b")
        self.assertIn(f"the job 'b' of dead letter {b} is gone", self.refused("dead", "retry", b, status=1))
        done = self.done("dead", "discard", "999999999999999", a[0], a[0])
        self.assertEqual((done.returncode, done.stdout), (1, f"{a[0]} discarded\n"))
        self.assertEqual(done.stderr, "escapement: there is no dead letter 999999999999999\n")
        self.assertEqual([str(letter["id"]) for letter in self.json("dead", "list")], sorted({b, a[1]}, key=int))

    def test_what_is_asked_wrongly_is_refused(self):
        for arguments in (["retry"], ["discard"], ["retry", "1", "--all"], ["retry", "1", "--job", "a"], ["discard", "0"],
                          ["discard", "-1"], ["retry", "x"], ["list", "--limit", "0"], ["list", "1"], [], ["bury", "1"]):
            with self.subTest(arguments=arguments):
                self.refused("dead", *arguments)
        self.assertEqual(self.json("dead", "list"), [])
        self.assertEqual(self.json("dead", "discard", "--all"), [])


if __name__ == "__main__":
    program.main()
