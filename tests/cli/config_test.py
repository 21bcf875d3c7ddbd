"""Flags beat the environment, the environment beats the file; what is wrong is named with file and line."""

import program


class ConfigTest(program.CliTest):
    def used(self, *arguments, **environment):
        """Which of the stores a, b, c, d a command works on: each has a job of its own name."""
        return self.run_cli("list", *arguments, **environment).split("\t")[0]

    def store(self, name):
        url = f"sqlite:{self.home}/{name}.db"
        self.run_cli("add", name, "every 1h", "--store", url, "--", "true")
        return url

    def test_flags_beat_environment_beats_file(self):
        a, b, c, d = (self.store(name) for name in "abcd")
        self.write(".config/escapement/config.toml", f'store = "{d}"\n')
        file = self.write("other.toml", f'store = "{c}"\n[pod]\nthreads = 2\n')
        self.assertEqual(self.used(), "d")
        self.assertEqual(self.used(XDG_CONFIG_HOME=str(self.home / "none")), "")
        self.assertEqual(self.used(ESCAPEMENT_CONFIG=file), "c")
        self.assertEqual(self.used("--config", file, ESCAPEMENT_CONFIG="/nowhere"), "c")
        self.assertEqual(self.used("--config", file, ESCAPEMENT_STORE=b), "b")
        self.assertEqual(self.used("--config", file, "--store", a, ESCAPEMENT_STORE=b), "a")

    def test_xdg_config_home(self):
        self.write("xdg/escapement/config.toml", f'store = "{self.store("x")}"\n')
        self.assertEqual(self.used(XDG_CONFIG_HOME=str(self.home / "xdg")), "x")

    def test_what_is_wrong_has_a_place(self):
        rows = {
            '\nstor = "sqlite:"\n': ("config.toml:2", "stor"),
            "store = 7\n": ("config.toml:1", "store"),
            '[pod]\nname = "a"\ncolour = "red"\n': ("config.toml:3", "colour"),
            '[pod]\nheartbeat = 3\n': ("config.toml:2", "heartbeat"),
            '[pod]\nheartbeat = "3 apples"\n': ("config.toml:2", "heartbeat"),
            '[pod]\nqueues = "a"\n': ("config.toml:2", "queues"),
            '[pod]\nqueues = ["a", 1]\n': ("config.toml:2", "queues"),
            '[pod]\nthreads = 99999999999\n': ("config.toml:2", "threads"),
            "pod = 1\n": ("config.toml:1", "pod"),
            "store = 2026-01-01\n": ("config.toml:1",),
            'store = "a\n': ("config.toml:1",),
            'store = "a"\nstore = "b"\n': ("config.toml:2",),
        }
        for text, words in rows.items():
            with self.subTest(text=text):
                line = self.refused("list", "--config", self.write("config.toml", text))
                for word in words:
                    self.assertIn(word, line)

    def test_a_file_that_is_named_must_be_there(self):
        self.assertIn("nowhere.toml", self.refused("list", "--config", "nowhere.toml", status=1))

    def test_the_pod_table_reaches_the_pod(self):
        self.write(".config/escapement/config.toml", '[pod]\nname = "from-file"\nqueues = ["q", "r"]\nthreads = 2\n'
                   'max_running = 3\nsession_ttl = "30s"\nheartbeat = "1s"\nhorizon = "1s"\nhistory_days = 2\n')
        pod = program.Pod(self)
        self.assertIn("pod from-file started", pod.text())
        self.assertIn("queues=q,r", pod.text())
        self.assertEqual(pod.stop(), 0)
        flagged = program.Pod(self, "--name", "from-flag", "--queues", "s")
        self.assertIn("pod from-flag started", flagged.text())
        self.assertIn("queues=s", flagged.text())
        self.assertEqual(flagged.stop(), 0)
        self.write(".config/escapement/config.toml", "[pod]\nthreads = 0\n")
        self.assertIn("threads", self.refused("run"))

    def test_no_output_holds_a_password(self):
        secret = "geh31m"
        urls = [f"postgresql://user:{secret}@127.0.0.1:1/db", f"postgresql://127.0.0.1:1/db?password={secret}",
                f"postgresql://user:{secret}@[broken", f"redis://:{secret}@127.0.0.1:1/0", f"mysql://u:{secret}@h/d"]
        file = self.write("secret.toml", f'locks = "memory:"\nstore = "{urls[0]}"\n')
        broken = self.write("broken.toml", f'store = "{urls[0]}\n')
        twice = self.write("twice.toml", f'store = "{urls[0]}"\nstore = "{urls[1]}"\n')
        for command in (["list"], ["run"], ["doctor"], ["doctor", "--json"], ["migrate"], ["export"]):
            for arguments in ([["--store", url] for url in urls] + [["--locks", url] for url in urls[3:]] +
                              [["--config", name] for name in (file, broken, twice)]):
                with self.subTest(command=command, arguments=arguments):
                    done = self.done(*command, *arguments)
                    self.assertNotIn(secret, done.stdout + done.stderr)


if __name__ == "__main__":
    program.main()
