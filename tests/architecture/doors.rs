//! Who may look where: rooms of our own, crates of others, and what the domain may never touch.

use crate::source::Source;

/// A leaf that is empty in a production build: everyone but the domain may look in.
const CRASH: &str = "crash";

const ROOMS: &[(&str, &[&str])] = &[
    (CRASH, &[]),
    ("terminal", &[]),
    ("domain", &[]),
    ("gateway", &["domain"]),
    ("store", &["domain"]),
    ("metrics", &["domain"]),
    ("actors", &["domain", "gateway", "store", "metrics"]),
    ("http", &["domain", "actors", "metrics"]),
    ("sandbox", &["gateway::wire"]),
    ("audit", &["domain", "store", "gateway"]),
    ("loadtest", &["audit", "terminal"]),
    ("demo", &["audit", "loadtest", "terminal"]),
    ("settings", &[]),
    (
        "app",
        &[
            "domain", "gateway", "store", "metrics", "actors", "http", "sandbox", "audit",
            "loadtest", "demo", "settings", "terminal",
        ],
    ),
    (
        "cli",
        &[
            "domain", "gateway", "store", "actors", "http", "sandbox", "audit", "loadtest", "demo",
            "settings", "app", "terminal",
        ],
    ),
    ("main", &["cli", "terminal"]),
    ("lib", &[]),
    ("migrations", &[]),
];

const CRATES: &[(&str, &[&str])] = &[
    ("sea_orm", &["store", "migrations"]),
    ("sea_orm_migration", &["store", "migrations"]),
    ("sqlx", &["store"]),
    ("reqwest", &["gateway", "audit", "loadtest", "demo"]),
    ("actix_web", &["http", "sandbox"]),
    ("actix_cors", &["http", "sandbox"]),
    ("actix_http", &["http"]),
    ("actix_service", &["http"]),
    // The command line starts the System that the actors live in.
    ("actix", &["actors", "http", "app", "cli"]),
    ("actix_rt", &["actors", "http", "app", "cli"]),
    ("prometheus", &["metrics"]),
    ("governor", &["actors"]),
    ("backon", &["actors"]),
    ("plotters", &["loadtest"]),
    ("clap", &["cli", "loadtest", "demo"]),
    ("anyhow", &["cli", "loadtest", "demo", "main"]),
    ("config", &["settings"]),
    ("rustix", &[CRASH]),
    ("tracing_appender", &["terminal"]),
];

const IMPURE: &[&[&str]] = &[
    &["tokio"],
    &["futures_util"],
    &["rand"],
    &["std", "fs"],
    &["std", "io"],
    &["std", "net"],
    &["std", "env"],
    &["std", "process"],
    &["std", "thread"],
    &["std", "time", "SystemTime"],
    &["std", "time", "Instant"],
    &["std", "time", "UNIX_EPOCH"],
    &["std", "time", "*"],
];

const IMPURE_ENDS: &[&str] = &["now", "now_utc", "now_local", "new_v4", "now_v7"];

const IMPURE_WORDS: &[&str] = &["async", ".await"];

/// A test may print: that is its report to who runs it.
const PRINTING: &[&str] = &["print!", "println!", "eprint!", "eprintln!", "dbg!"];

/// A room looks only into the rooms that it was given.
pub fn rooms(sources: &[Source]) -> Vec<String> {
    let mut findings = Vec::new();
    for source in inside(sources) {
        let Some((_, may)) = ROOMS.iter().find(|(room, _)| *room == source.room) else {
            findings.push(source.finding(1, &format!("room `{}` is not on the map", source.room)));
            continue;
        };
        for mention in &source.words.mentions {
            let ours = matches!(mention.path[0].as_str(), "crate" | "payonce");
            // The migrations hang below the store; their own `super` is not the crate's.
            if !ours
                || source.room == "migrations"
                    && mention.path.get(1).is_some_and(|room| room == "migrations")
            {
                continue;
            }
            let looked = mention.path[1..].join("::");
            let room = mention.path.get(1).map_or("*", String::as_str);
            let known = ROOMS.iter().any(|(name, _)| *name == room);
            let allowed = room == source.room
                || room == CRASH && source.room != "domain"
                || may
                    .iter()
                    .any(|door| looked == *door || looked.starts_with(&format!("{door}::")));
            if room == "*" || known && !allowed {
                let rule = format!("room `{}` may not look into `{looked}`", source.room);
                findings.push(source.finding(mention.line, &rule));
            }
        }
    }
    findings
}

/// A third-party crate with a door enters there and nowhere else.
pub fn crates(sources: &[Source]) -> Vec<String> {
    let mut findings = Vec::new();
    for source in inside(sources) {
        for mention in &source.words.mentions {
            let Some((name, rooms)) = CRATES.iter().find(|(name, _)| *name == mention.path[0])
            else {
                continue;
            };
            if !rooms.contains(&source.room.as_str()) {
                let rule = format!("crate `{name}` may not enter room `{}`", source.room);
                findings.push(source.finding(mention.line, &rule));
            }
        }
    }
    findings
}

/// The domain: no async, no clock, no I/O, no randomness.
pub fn purity(sources: &[Source]) -> Vec<String> {
    let mut findings = Vec::new();
    for source in inside(sources).filter(|source| source.room == "domain") {
        for mention in &source.words.mentions {
            let path: Vec<&str> = mention.path.iter().map(String::as_str).collect();
            let impure = IMPURE.iter().any(|start| path.starts_with(start))
                || path == ["std", "time"]
                || path.len() > 1 && path.last().is_some_and(|end| IMPURE_ENDS.contains(end));
            if impure {
                let rule = format!("the domain is pure: no `{}`", path.join("::"));
                findings.push(source.finding(mention.line, &rule));
            }
        }
        for word in &source.words.words {
            let text = word.text.as_str();
            let prints = PRINTING.contains(&text) && !source.is_test(word.line);
            if prints || IMPURE_WORDS.contains(&text) {
                findings.push(source.finding(
                    word.line,
                    &format!("the domain is pure: no `{}`", word.text),
                ));
            }
        }
    }
    findings
}

fn inside(sources: &[Source]) -> impl Iterator<Item = &Source> {
    sources.iter().filter(|source| source.room != "tests")
}
