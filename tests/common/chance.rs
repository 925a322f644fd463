//! What a run's environment chooses: how much of it, and the seed that replays it.

use std::sync::OnceLock;

use proptest::test_runner::{Config, RngSeed};
use rand::RngExt as _;

/// The variable as a number, if it is set.
pub fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}: {text}")))
}

/// For every choice of a run, one for the whole process; `PAYONCE_TEST_SEED` replays it.
pub fn seed() -> u64 {
    static SEED: OnceLock<u64> = OnceLock::new();
    let chosen = || number("PAYONCE_TEST_SEED").unwrap_or_else(|| rand::rng().random());
    let seed = *SEED.get_or_init(chosen);
    println!("PAYONCE_TEST_SEED={seed} replays this run's choices");
    seed
}

/// For a property: at least so many cases, `PROPTEST_CASES` asks for more.
pub fn cases(least: u32) -> Config {
    Config {
        cases: Config::default().cases.max(least),
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(seed()),
        ..Config::default()
    }
}
