//! How a house is to be, before it is built.

use std::net::TcpListener;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use reqwest::{Client, ClientBuilder};
use tempfile::TempDir;

use super::database::TestDatabase;
use super::house::House;
use super::process::Process;

pub const SECRET_KEY: &str = "test_sk_zzHouseOfTestsSecret0001";
pub const ANY_ADDRESS: &str = "127.0.0.1:0";

#[derive(Default)]
pub struct Plan {
    env: Vec<(String, String)>,
    own_toss: bool,
    toss_at: Option<String>,
    toss_seed: Option<u64>,
    store: Option<Arc<TestDatabase>>,
    in_file: bool,
}

impl Plan {
    pub fn env(mut self, name: &str, value: impl ToString) -> Plan {
        self.env
            .push((format!("PAYONCE_{name}"), value.to_string()));
        self
    }

    /// For the server's process, as it stands.
    pub fn process_env(mut self, name: &str, value: &str) -> Plan {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// On the database of another house.
    pub fn on(mut self, store: &Arc<TestDatabase>) -> Plan {
        self.store = Some(store.clone());
        self
    }

    /// On SQLite, whatever the tests run on: what is shown is about a file.
    pub fn in_file(mut self) -> Plan {
        self.in_file = true;
        self
    }

    /// The sandbox as a process of its own, so that it survives the server.
    pub fn own_toss(mut self) -> Plan {
        self.own_toss = true;
        self
    }

    /// Its own Toss, whose faults with a probability are drawn from this.
    pub fn toss_seed(mut self, seed: u64) -> Plan {
        self.toss_seed = Some(seed);
        self.own_toss()
    }

    /// A Toss of its own that outlives itself: its memory is in the house's folder, and where the address is a
    /// [`lasting_address`], [`House::revive_toss`] brings it back there.
    pub fn toss_at(mut self, address: &str) -> Plan {
        self.toss_at = Some(address.to_owned());
        self.own_toss()
    }

    pub fn start(self) -> House {
        self.prepare().start()
    }

    /// On what a former house left in its folder.
    pub fn start_in(self, folder: TempDir) -> House {
        self.prepare_in(folder).start()
    }

    /// Everything but the server.
    pub fn prepare(self) -> Prepared {
        self.prepare_in(tempfile::tempdir().unwrap())
    }

    fn prepare_in(self, folder: TempDir) -> Prepared {
        let store = self.store.clone();
        let file = folder.path().join("payonce.db");
        let new = || match self.in_file {
            true => TestDatabase::in_file(&file),
            false => TestDatabase::new(&file),
        };
        let store = store.unwrap_or_else(|| Arc::new(new()));
        let mut env = House::env(&folder, &store);
        let toss_env = self.toss_env(&folder);
        let start = || Process::start(&["sandbox"], &toss_env);
        let toss = self.own_toss.then(start);
        if let Some(toss) = &toss {
            env.push(("PAYONCE_TOSS__BASE_URL".into(), toss.url.clone()));
            env.push(("PAYONCE_TOSS__SECRET_KEY".into(), SECRET_KEY.into()));
            env.push(("PAYONCE_DATABASE__DEMO_DATA".into(), "true".into()));
        }
        env.extend(self.env);
        if env
            .iter()
            .any(|(name, _)| name == "PAYONCE_TOSS__SECRET_KEY")
        {
            env.retain(|(name, _)| name != "PAYONCE_SANDBOX__ENABLED");
        }
        Prepared {
            toss,
            folder,
            store,
            env,
            toss_env,
        }
    }

    fn toss_env(&self, folder: &TempDir) -> Vec<(String, String)> {
        let bind = self.toss_at.as_deref().unwrap_or(ANY_ADDRESS);
        let mut env = vec![("PAYONCE_SANDBOX__BIND".to_owned(), bind.to_owned())];
        if self.toss_at.is_some() {
            let ledger = folder.path().join("ledger.jsonl").display().to_string();
            env.push(("PAYONCE_SANDBOX__LEDGER_PATH".to_owned(), ledger));
        }
        if let Some(seed) = self.toss_seed {
            env.push(("PAYONCE_SANDBOX__SEED".to_owned(), seed.to_string()));
        }
        env
    }
}

/// A house whose server has not been started.
pub struct Prepared {
    pub toss: Option<Process>,
    folder: TempDir,
    pub store: Arc<TestDatabase>,
    env: Vec<(String, String)>,
    toss_env: Vec<(String, String)>,
}

impl Prepared {
    pub fn start(self) -> House {
        let server = Process::start(&["serve"], &self.env);
        let client = patient_client().pool_max_idle_per_host(2_000);
        let client = client.build().unwrap();
        House {
            server,
            toss: self.toss,
            folder: self.folder,
            store: self.store,
            client,
            env: self.env,
            toss_env: self.toss_env,
        }
    }
}

/// Longer than anybody is kept waiting: a call that is lost fails its test, and does not hang it.
pub fn patient_client() -> ClientBuilder {
    Client::builder().timeout(Duration::from_secs(120))
}

/// A house where so many orders are in trouble at once that a breaker would protect Toss from all of them: it is
/// set to let the faults through, for each order is looked at alone.
pub fn without_breaker(plan: Plan) -> Plan {
    plan.env("BREAKER__FAILURES", 1_000_000)
        .env("BREAKER__SAMPLE", 1_000_000)
        .env("BREAKER__FAILURE_PERCENT", 100)
}

/// An address for a process that goes and comes back: below the ports that the system hands out by itself, so that
/// no connection or listener of anybody else is given it in between.
pub fn lasting_address() -> String {
    const PORTS: u32 = 8_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    let range = range.unwrap_or_default();
    let lowest = range.split_whitespace().next();
    let lowest: u32 = lowest.map_or(32_768, |port| port.parse().unwrap());
    let first = lowest.saturating_sub(PORTS).max(1_024);
    if first >= lowest {
        // The system hands out every port: any free one is as good.
        let free = TcpListener::bind(ANY_ADDRESS).unwrap();
        return free.local_addr().unwrap().to_string();
    }
    // Every process begins somewhere else, and no test of a process takes what another has taken.
    let start = process::id().wrapping_mul(7_919);
    for _ in 0..PORTS {
        let step = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let address = format!("127.0.0.1:{}", first + step % (lowest - first));
        if TcpListener::bind(&address).is_ok() {
            return address;
        }
    }
    panic!("no port from {first} to {lowest} is free");
}
