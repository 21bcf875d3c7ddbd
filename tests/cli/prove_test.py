"""`prove`: histories by seed, again by seed, and what it says of them."""

import json

import program


class ProveTest(program.CliTest):
    def test_counts_what_it_played_and_logs_it(self):
        log = self.home / "proof.jsonl"
        for first in (1, 31):
            answer = self.json("prove", "--seeds", "30", "--first", first, "--log", log)
            self.assertEqual(answer["histories"], 30)
            self.assertEqual(answer["first_seed"], first)
            self.assertIsNone(answer["broken_seed"])
            self.assertGreater(answer["runs"], 1000)
            self.assertGreater(sum(answer["faults"].values()), 30)
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        self.assertEqual([line["first_seed"] for line in lines], [1, 31])

    def test_takes_seeds_that_were_never_tried(self):
        first = self.json("prove", "--seeds", "1")["first_seed"]
        self.assertGreater(first, 10**12)

    def test_a_seed_is_the_same_history_each_time(self):
        told = [self.run_cli("prove", "--seed", "7", "--timeline") for _ in range(2)]
        self.assertEqual(told[0], told[1])
        self.assertIn("seed 7: all rules hold", told[0])
        self.assertIn("the ledger: ", told[0])
        self.assertNotEqual(told[0], self.run_cli("prove", "--seed", "8", "--timeline"))

    def test_what_it_cannot_do(self):
        for arguments, error in [
            (["--seeds", "0"], "escapement: --seeds: "),
            (["--seeds", "many"], "escapement: --seeds: "),
            (["--threads", "0"], "escapement: --threads: "),
            (["--timeline"], "escapement: --timeline requires --seed"),
            (["--seed", "1", "--first", "2"], "escapement: --first excludes --seed"),
            (["--log", "/nowhere/at/all"], "escapement: --log: cannot write to '/nowhere/at/all'"),
        ]:
            self.assertIn(error, self.refused("prove", *arguments))


if __name__ == "__main__":
    program.main()
