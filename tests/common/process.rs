//! The binary as a process: started, watched, killed.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A running process of ours, its address, and what it has logged. Killed when dropped.
pub struct Process {
    child: Child,
    pub url: String,
    pub sandbox: Option<String>,
    pub log: Arc<Mutex<String>>,
}

impl Process {
    /// Starts the binary and reads its banner until it is ready.
    pub fn start(args: &[&str], env: &[(String, String)]) -> Process {
        let started = Process::try_start(args, env);
        started.unwrap_or_else(|log| panic!("payonce {args:?} did not become ready:\n{log}"))
    }

    pub fn try_start(args: &[&str], env: &[(String, String)]) -> Result<Process, String> {
        Process::try_command(command(args, env))
    }

    /// Starts a command that becomes the binary, and reads its banner until it is ready.
    pub fn try_command(mut command: Command) -> Result<Process, String> {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let log = Arc::new(Mutex::new(String::new()));
        let (stderr, sink) = (child.stderr.take().unwrap(), log.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                sink.lock().unwrap().push_str(&(line + "\n"));
            }
        });
        let (mut url, mut sandbox, mut ready) = (None, None, false);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        for line in lines.by_ref().map_while(Result::ok) {
            let address = line
                .split_whitespace()
                .find(|word| word.starts_with("http://"));
            match line.split_whitespace().next() {
                Some("shop") => url = address.map(str::to_owned),
                Some("sandbox") => sandbox = address.map(str::to_owned),
                Some(word) if word.starts_with("ready") => {
                    ready = true;
                    break;
                }
                _ => {}
            }
        }
        // Whoever writes to a closed pipe dies of it: keep reading.
        std::thread::spawn(move || lines.for_each(drop));
        if !ready {
            _ = child.kill();
            _ = child.wait();
            std::thread::sleep(Duration::from_millis(100));
            return Err(log.lock().unwrap().clone());
        }
        let url = url.or(sandbox.clone()).expect("an address in the banner");
        Ok(Process {
            child,
            url,
            sandbox,
            log,
        })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn kill_9(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn signal_term(&self) {
        self.signal("TERM");
    }

    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([&format!("-{name}"), &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Waits for the process to end by itself; its exit code.
    pub fn wait(&mut self, most: Duration) -> Option<i32> {
        let until = Instant::now() + most;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the process did not end within {most:?}");
    }

    /// How the process ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// What is logged once it says so; a line of the log may come after the answer that it is about.
    pub fn logged_with(&self, words: &str) -> String {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let log = self.logged();
            if log.contains(words) {
                return log;
            }
            assert!(Instant::now() < until, "{words:?} is not logged:\n{log}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn logged(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Resident memory in KiB.
    pub fn rss_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS"))
            .unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Processor time so far, in steps of 10 ms.
    pub fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // Behind the name, which may have spaces: user and system time are the 12th and 13th field.
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let ticks = fields.split_whitespace().skip(11).take(2);
        Duration::from_millis(ticks.map(|n| 10 * n.parse::<u64>().unwrap()).sum())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// The binary with nothing of the caller's environment that could steer it.
pub fn command(args: &[&str], env: &[(String, String)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_payonce"));
    forget_settings(&mut command);
    command
        .args(args)
        .envs(env.iter().cloned())
        .stdin(Stdio::null());
    command
}

/// What the tests themselves were told is no setting of what they start.
pub fn forget_settings(command: &mut Command) {
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PAYONCE_")) {
        command.env_remove(name);
    }
}
