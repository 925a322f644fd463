//! What a run's environment chooses: how much of it, and the seed that replays it.

use rand::RngExt as _;

/// The variable as a number, if it is set.
pub fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}: {text}")))
}

/// For every choice of a run; `PAYONCE_TEST_SEED` replays it.
pub fn seed() -> u64 {
    let seed = number("PAYONCE_TEST_SEED").unwrap_or_else(|| rand::rng().random());
    println!("PAYONCE_TEST_SEED={seed} replays this run's choices");
    seed
}
