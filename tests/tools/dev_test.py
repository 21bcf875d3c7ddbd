"""./dev refuses wrong input with one line and exit status 2, before it installs, builds or starts anything."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

DEV = pathlib.Path(sys.argv.pop(1)) / "dev"
VARIABLES = ("JOB_COUNT", "JOB_INTERVAL_MS", "JOB_DURATION_MS", "TEST_DURATION_SEC", "PODS", "STORE")


class DevTest(unittest.TestCase):
    def run_dev(self, *arguments, **variables):
        # A copy alone in a directory: whatever went past the checks would fail otherwise than with 2, or leave files.
        with tempfile.TemporaryDirectory() as root:
            shutil.copy(DEV, root)
            environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
            done = subprocess.run([pathlib.Path(root) / "dev", *arguments], capture_output=True, text=True, check=False,
                                  stdin=subprocess.DEVNULL, timeout=30, env={**environment, **variables})
            self.assertEqual(os.listdir(root), ["dev"])
            return done

    def test_alone_it_prints_its_commands(self):
        done = self.run_dev()
        self.assertEqual(done.returncode, 0)
        for command in ("setup", "build", "test", "check", "stress", "bench", "chaos", "faults", "model", "test-compose",
                        "ci", "ci-full", "clean"):
            self.assertIn(f"\n  {command} ", done.stdout)
            self.assertRegex(self.run_dev(command, "--help").stdout, rf"^usage: \./dev {command}")

    def test_the_image_is_built_with_the_libraries_that_setup_brings(self):
        packages = re.search(r"^packages=\((.*?)\)", DEV.read_text(), re.M | re.S).group(1).split()
        image = (DEV.parent / "tests/stress/Dockerfile").read_text().split()
        of_tests = {"libgtest-dev", "libgmock-dev", "librapidcheck-dev", "libbenchmark-dev", "libical-dev"}
        needed = {name for name in packages if name.endswith("-dev")} - of_tests
        self.assertEqual(needed - set(image), set())

    def test_refuses_wrong_input_in_one_line(self):
        for arguments, variables in (
            (["nonsense"], {}),
            (["setup", "--nonsense"], {}),
            (["build", "fast"], {}),
            (["build", "release", "debug"], {}),
            (["test", "--preset", "fast"], {}),
            (["test", "--preset"], {}),
            (["check", "--nonsense"], {}),
            (["test-compose", "now"], {}),
            (["fuzz", "--nonsense"], {}),
            (["fuzz", "nonsense"], {}),
            (["fuzz", "--seconds", "1.5"], {}),
            (["fuzz", "--seconds"], {}),
            (["ci", "now"], {}),
            (["ci-full", "now"], {}),
            (["clean", "all"], {}),
            (["stress"], {"JOB_COUNT": "0"}),
            (["stress"], {"JOB_COUNT": "1000001"}),
            (["stress"], {"JOB_COUNT": ""}),
            (["stress"], {"JOB_COUNT": "ten"}),
            (["stress"], {"JOB_INTERVAL_MS": "0"}),
            (["stress"], {"JOB_INTERVAL_MS": "1.5"}),
            (["stress"], {"JOB_DURATION_MS": "-1"}),
            (["stress"], {"TEST_DURATION_SEC": "99999999999999999999"}),
            (["stress"], {"PODS": "65"}),
            (["test-compose", "nonsense"], {}),
            (["stress"], {"STORE": "nonsense"}),
            (["stress"], {"STORE": "Redis"}),
        ):
            with self.subTest(arguments=arguments, variables=variables):
                done = self.run_dev(*arguments, **variables)
                self.assertEqual(done.returncode, 2)
                self.assertEqual(done.stdout, "")
                self.assertRegex(done.stderr, r"^dev: [^\n]+\n$")


if __name__ == "__main__":
    unittest.main()
