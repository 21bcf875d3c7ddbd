"""The C++ example of README.md compiles, and every file that the documents link to exists.

usage: readme_test.py <root> <compiler>
"""

import pathlib
import re
import subprocess
import sys
import unittest

ROOT = pathlib.Path(sys.argv.pop(1))
COMPILER = sys.argv.pop(1)
DOCUMENTS = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
DOCUMENTS += sorted((ROOT / "docs").rglob("*.md")) + sorted((ROOT / "tests").rglob("*.md"))


class ReadmeTest(unittest.TestCase):
    def test_example_compiles(self):
        examples = re.findall(r"^```cpp\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
        self.assertTrue(examples)
        for example in examples:
            done = subprocess.run([COMPILER, "-std=c++20", "-Wall", "-Werror", "-fsyntax-only", f"-I{ROOT}/include",
                                   "-xc++", "-"], input=example, capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)

    def test_links_lead_somewhere(self):
        for document in DOCUMENTS:
            text = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
            for link in re.findall(r"\]\(([^)#:]+)\)", text):
                with self.subTest(document=document.name, link=link):
                    self.assertTrue((document.parent / link).exists())


if __name__ == "__main__":
    unittest.main()
