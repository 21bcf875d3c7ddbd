"""Scripts for shells."""

import shutil
import subprocess

import program

COMMANDS = ("run add list show runs pause resume trigger cancel remove pods next why apply simulate migrate audit doctor "
            "export import completion stress dead paused describe moves prove progress").split()


class CompletionTest(program.CliTest):
    def check(self, shell, *arguments):
        script = self.write(f"script.{shell}", self.run_cli("completion", shell))
        for command in COMMANDS:
            self.assertIn(command, self.run_cli("completion", shell))
        if shutil.which(shell):
            done = subprocess.run([shell, *arguments, script], capture_output=True, text=True, check=False)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
        return script

    def complete(self, script, *words):
        line = " ".join(f"'{word}'" for word in ("escapement", *words))
        code = f"source {script}; COMP_WORDS=({line}); COMP_CWORD={len(words)}; _escapement; echo \"${{COMPREPLY[@]}}\""
        environment = {**self.environment, "PATH": f"{self.home}:{self.environment['PATH']}"}
        return subprocess.run(["bash", "-c", code], env=environment, capture_output=True, text=True, check=True).stdout.split()

    def test_bash(self):
        script = self.check("bash", "-n")
        self.assertEqual(self.complete(script, "pa"), ["pause", "paused"])
        self.assertEqual(self.complete(script, "add", "--retry-d"), ["--retry-delay", "--retry-delays"])
        self.assertEqual(self.complete(script, "completion", "f"), ["fish"])
        self.assertEqual(self.complete(script, "stress", "lo"), ["local"])
        (self.home / "escapement").symlink_to(program.PROGRAM)
        self.run_cli("add", "hello", "every 1h", "--", "true")
        self.assertEqual(self.complete(script, "show", "he"), ["hello"])

    def test_zsh(self):
        self.check("zsh", "-n")

    def test_fish(self):
        self.check("fish", "--no-execute")

    def test_bad_input(self):
        self.assertIn("zsh", self.refused("completion", "tcsh"))
        self.refused("completion")


if __name__ == "__main__":
    program.main()
