//! No variable can kill a production build.

use crate::common::Process;

#[test]
fn a_build_without_crash_points_refuses_the_variable_that_would_arm_one() {
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite://{}", folder.path().join("payonce.db").display());
    let env = [
        ("PAYONCE_SERVER__BIND", "127.0.0.1:0"),
        ("PAYONCE_SANDBOX__BIND", "127.0.0.1:0"),
        ("PAYONCE_DATABASE__URL", &database),
        ("PAYONCE_CRASH_AT", "Migrated"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let log = match Process::try_start(&["serve"], &env) {
        Ok(_) => panic!("it has started"),
        Err(log) => log,
    };
    assert!(log.contains("PAYONCE_CRASH_AT"), "{log}");
    let started = Process::try_start(&["serve"], &env[..3]);
    assert!(started.is_ok(), "{:?}", started.err());
}
