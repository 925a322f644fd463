//! The layers: what is compiled in, a file, the environment. The later one wins; each must be known.

use std::collections::BTreeMap;
use std::path::Path;

use config::{Config, ConfigError, File, FileFormat, Value, ValueKind};
use secrecy::SecretString;

use super::{Purpose, Settings, SettingsFault, rules};

const DEFAULTS: &str = include_str!("../../config/default.toml");
const PREFIX: &str = "PAYONCE_";

/// The settings that have no default, so that they are not in the compiled-in file.
pub(super) const WITHOUT_DEFAULT: [&str; 12] = [
    "server.allow_anonymous",
    "server.max_confirms",
    "server.workers",
    "database.demo_data",
    "checkout.known_users_only",
    "actors.shards",
    "node.name",
    "toss.secret_key",
    "toss.secret_key_file",
    "toss.calls_per_minute",
    "sandbox.enabled",
    "sandbox.seed",
];
pub(super) const LEDGER_PATH: &str = "sandbox.ledger_path";

pub fn load(
    file: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
    purpose: Purpose,
) -> Result<Settings, SettingsFault> {
    let unreadable = |error: config::ConfigError| SettingsFault::Unreadable(error.to_string());
    let defaults = || File::from_str(DEFAULTS, FileFormat::Toml);
    let known = flat(
        Config::builder()
            .add_source(defaults())
            .build()
            .map_err(unreadable)?,
    );
    let mut known: Vec<String> = known.into_keys().collect();
    known.extend(
        WITHOUT_DEFAULT
            .iter()
            .chain([&LEDGER_PATH])
            .map(|name| (*name).to_owned()),
    );

    let mut builder = Config::builder().add_source(defaults());
    if let Some(path) = file {
        let text = std::fs::read_to_string(path).map_err(|error| {
            SettingsFault::Unreadable(format!("--config {}: {error}", path.display()))
        })?;
        let source = || File::from_str(&text, FileFormat::Toml);
        let given = Config::builder()
            .add_source(source())
            .build()
            .map_err(|error| {
                let error = without_quotation(&error.to_string());
                SettingsFault::Unreadable(format!("--config {}: {error}", path.display()))
            })?;
        for name in flat(given).into_keys() {
            must_be_known(&name, &known, |name| name.to_owned())?;
        }
        builder = builder.add_source(source());
    }
    for (variable, value) in environment {
        let Some(name) = variable.strip_prefix(PREFIX) else {
            continue;
        };
        if is_service_link(name, &value) {
            continue;
        }
        let name = name.to_lowercase().replacen("__", ".", 1);
        must_be_known(&name, &known, as_variable)?;
        let value = Value::new(Some(&variable), ValueKind::String(value));
        builder = builder.set_override(&name, value).map_err(unreadable)?;
    }
    let merged = builder.build().map_err(unreadable)?;
    let mut settings: Settings = typed(merged)?;
    read_secret_file(&mut settings)?;
    rules::check(&settings, purpose)?;
    Ok(settings)
}

/// Kubernetes tells every pod of a Service that is called payonce by variables of that name, behind our prefix:
/// PAYONCE_SERVICE_HOST, PAYONCE_PORT=tcp://.., PAYONCE_PORT_8080_TCP_ADDR. They are no settings.
fn is_service_link(name: &str, value: &str) -> bool {
    let words: Vec<&str> = name.split('_').collect();
    let of_service = words
        .windows(2)
        .any(|pair| pair[0] == "SERVICE" && matches!(pair[1], "HOST" | "PORT"));
    let is_number = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
    let of_port = words.windows(3).any(|three| {
        three[0] == "PORT" && is_number(three[1]) && matches!(three[2], "TCP" | "UDP" | "SCTP")
    });
    let is_url = ["tcp://", "udp://", "sctp://"]
        .iter()
        .any(|scheme| value.starts_with(scheme));
    !name.contains("__") && (of_service || of_port || words.last() == Some(&"PORT") && is_url)
}

/// As the user would write it in the environment.
pub(super) fn as_variable(name: &str) -> String {
    format!("{PREFIX}{}", name.replacen('.', "__", 1).to_uppercase())
}

fn must_be_known(
    name: &str,
    known: &[String],
    spell: impl Fn(&str) -> String,
) -> Result<(), SettingsFault> {
    if known.iter().any(|known| known == name) {
        return Ok(());
    }
    let distance = |candidate: &&String| edits(name, candidate);
    let nearest = known
        .iter()
        .min_by_key(distance)
        .filter(|candidate| edits(name, candidate) <= 4);
    Err(SettingsFault::Unknown {
        name: spell(name),
        nearest: nearest.map(|name| spell(name)),
    })
}

/// Levenshtein's distance.
fn edits(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let changed = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

/// `section.key` of everything that is set.
fn flat(config: Config) -> BTreeMap<String, Value> {
    let sections = config.cache.into_table().unwrap_or_default();
    let mut flat = BTreeMap::new();
    for (section, value) in sections {
        match value.kind.clone() {
            ValueKind::Table(table) => {
                flat.extend(
                    table
                        .into_iter()
                        .map(|(key, value)| (format!("{section}.{key}"), value)),
                );
            }
            _ => _ = flat.insert(section, value),
        }
    }
    flat
}

/// A parser shows the line that it stumbled over; a secret may stand there. Its first line says where, its last one why.
fn without_quotation(error: &str) -> String {
    let where_ = error.lines().next().unwrap_or_default();
    let why = error
        .lines()
        .rfind(|line| !line.trim().is_empty() && !line.contains('|'));
    match why {
        Some(why) if why != where_ => format!("{where_}: {why}"),
        Some(_) | None => where_.to_owned(),
    }
}

/// Whose values are never repeated, right or wrong.
const SECRETS: [&str; 3] = ["server.api_keys", "database.url", "toss.secret_key"];

fn typed(merged: Config) -> Result<Settings, SettingsFault> {
    merged.try_deserialize().map_err(|error| {
        let (name, wants, got) = blame(error);
        match name {
            Some(name) => {
                let got = got.filter(|_| !SECRETS.contains(&name.as_str()));
                SettingsFault::Wrong {
                    name: as_variable(&name),
                    wants,
                    got,
                }
            }
            None => SettingsFault::Unreadable(wants),
        }
    })
}

/// Which setting an error is about, what it wants, and what it got instead.
fn blame(error: ConfigError) -> (Option<String>, String, Option<String>) {
    match error {
        ConfigError::Type {
            unexpected,
            expected,
            key,
            ..
        } => {
            let got = unexpected.to_string();
            let bare = got
                .strip_prefix("string \"")
                .and_then(|text| text.strip_suffix('"'));
            let got = bare.map_or_else(|| got.clone(), str::to_owned);
            (key, expected.to_owned(), Some(got))
        }
        ConfigError::At { error, key, .. } => {
            let (inner, wants, got) = blame(*error);
            (key.or(inner), wants, got)
        }
        ConfigError::NotFound(name) => (Some(name), "to be set".to_owned(), None),
        // ConfigError belongs to another crate and may grow.
        other => (None, other.to_string(), None),
    }
}

fn read_secret_file(settings: &mut Settings) -> Result<(), SettingsFault> {
    let Some(path) = &settings.toss.secret_key_file else {
        return Ok(());
    };
    let name = as_variable("toss.secret_key_file");
    if settings.toss.secret_key.is_some() {
        let wants = "to be the only one: PAYONCE_TOSS__SECRET_KEY is set too".to_owned();
        return Err(SettingsFault::Wrong {
            name,
            wants,
            got: None,
        });
    }
    let read = std::fs::read_to_string(path);
    let text = read.map_err(|error| SettingsFault::Wrong {
        name,
        wants: format!("a file that can be read ({error})"),
        got: Some(path.display().to_string()),
    })?;
    settings.toss.secret_key = Some(SecretString::from(text.trim()));
    Ok(())
}
