"""tools/check-layers finds a planted breach and lets right includes pass."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

TOOL = pathlib.Path(sys.argv.pop(1)) / "tools" / "check-layers"


class CheckLayersTest(unittest.TestCase):
    def check(self, files):
        """Exit status and output for a tree that holds `files`, path -> text."""
        with tempfile.TemporaryDirectory() as root:
            (pathlib.Path(root) / "src").mkdir()
            for path, text in files.items():
                file = pathlib.Path(root) / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)
            done = subprocess.run([TOOL, root], capture_output=True, text=True, check=False)
            return done.returncode, done.stdout

    def test_accepts_includes_of_the_layers_above(self):
        status, output = self.check({
            "src/engine/pod.cc": '#include "engine/pod.h"\n#include "ports/locks.h"\n#include "escapement/job.h"\n',
            "src/stores/memory/store.cc": '#include "ports/job_store.h"\n#include <vector>\n',
            "src/stress/leader.cc": '#include "escapement/scheduler.h"\n#include "servers/servers.h"\n',
            "src/cli/main.cc": '#include "engine/pod.h"\n#include "stress/stress.h"\n',
            "include/escapement/job.h": '#include "escapement/schedule.h"\n#include <tl/expected.hpp>\n',
        })
        self.assertEqual((status, output), (0, ""))

    def test_names_file_line_and_reason_of_a_breach(self):
        status, output = self.check({
            "src/engine/pod.cc": '// pod\n#include <map>\n  #  include "stores/memory/store.h"\n',
        })
        self.assertEqual(status, 1)
        self.assertRegex(output, r"^src/engine/pod\.cc:3: engine may not include .*stores/memory")

    def test_finds_each_kind_of_breach(self):
        planted = {
            "src/time/clock.h": '#include "job/settle.h"',
            "src/job/settle.h": '#include "escapement/scheduler.h"',
            "src/engine/driver.cc": '#include "executors/function/executor.h"',
            "src/stores/postgres/store.cc": '#include "engine/pod.h"',
            "src/stores/postgres/claim.cc": '#include "stores/memory/store.h"',
            "src/locks/redis/locks.cc": '#include "stores/postgres/store.h"',
            "src/scheduler/open.cc": '#include "servers/servers.h"',
            "src/servers/servers.cc": '#include "stress/local.h"',
            "src/stress/witness.cc": '#include "ports/job_store.h"',
            "src/stress/analyzer.cc": '#include "stores/postgres/connection.h"',
            "src/stress/follower.cc": '#include "time/clock.h"',
            "src/engine/pod.h": '#include "pod_state.h"',
            "src/engine/wheel.h": '#include "../stores/memory/store.h"',
            "src/sundry/things.h": "#pragma once",
            "include/escapement/schedule.h": '#include "escapement/job.h"',
            "include/escapement/job.h": '#include "job/settle.h"',
            "include/escapement/extra.h": "#pragma once",
        }
        status, output = self.check({path: line + "\n" for path, line in planted.items()})
        self.assertEqual(status, 1)
        self.assertEqual(sorted(line.split(":1: ")[0] for line in output.splitlines()), sorted(planted))

    def test_refuses_a_tree_without_sources(self):
        done = subprocess.run([TOOL, "/nonexistent"], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 2)


if __name__ == "__main__":
    unittest.main()
