//! The command line: what each command is for, in words that a stranger understands.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use tokio::runtime::Runtime;

use crate::actors::Runtimes;
use crate::app;
use crate::demo::DemoArgs;
use crate::loadtest::LoadtestArgs;
use crate::settings::{self, Purpose, Settings};
use crate::store::Opened;
use crate::terminal::{self, LogGuard};

mod audit;
mod catalogue;
mod orders;
mod quarantine;

/// A payment orchestrator for Toss Payments: every order is paid once.
///
/// Without a command it serves. No setting is needed to try it: without a Toss key, on loopback, it speaks
/// to a sandbox of its own and no money moves.
#[derive(Parser, Debug)]
#[command(name = "payonce", version, propagate_version = true)]
struct Arguments {
    /// A TOML file of settings; see config/default.toml for all of them. The environment
    /// (PAYONCE_<SECTION>__<KEY>) comes after it.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Migrate the database, open the shop's door, and look after unfinished payments until SIGTERM
    Serve,
    /// Tell the whole story in seconds, in a temporary folder: pay, reload, decline, lose an answer, kill -9
    Demo(DemoArgs),
    /// Look at orders: what happened, and what happens next
    #[command(subcommand)]
    Order(OrderCommand),
    /// Payments that only a human can settle: what is known, what Toss says now, and the decision
    #[command(subcommand)]
    Quarantine(QuarantineCommand),
    /// The catalogue: what is for sale, and how much of it is there
    #[command(subcommand)]
    Products(ProductsCommand),
    /// API keys for the shop's own calls
    #[command(subcommand)]
    Key(KeyCommand),
    /// Bring the database up to date and exit
    Migrate,
    /// Run a Toss of our own, for trying out and for tests; no money moves
    Sandbox,
    /// Send a crowd of buyers to a running server, measure, then audit every order
    Loadtest(LoadtestArgs),
    /// Hold our record against Toss's ledger; exit 1 if anything disagrees
    Audit {
        /// Only orders that were checked out in the last N days, and those that Toss approved since. Their stock is not compared:
        /// that takes all orders. Let runs overlap: an order is checked out before it is settled
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=3650))]
        days: Option<u32>,
        /// Print the findings as JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Subcommand, Debug)]
enum OrderCommand {
    /// The timeline of one order: transitions, attempts, codes, and what happens next
    Show {
        #[arg(value_name = "ORDER")]
        order: String,
    },
    /// The most recent orders, newest first
    List {
        /// How many
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
}

#[derive(Subcommand, Debug)]
enum QuarantineCommand {
    /// Every quarantined payment, oldest first: since when, why, how much, and what may happen by itself
    List {
        /// How many
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// The timeline of one, what Toss shows of it right now, and which decisions that allows; changes nothing
    Show {
        #[arg(value_name = "ORDER")]
        order: String,
    },
    /// Decide one, while the server runs or not: asks Toss first, and refuses what Toss contradicts
    Resolve {
        #[arg(value_name = "ORDER")]
        order: String,
        /// done: Toss took exactly this order's money. failed: Toss took none, and will take none
        #[arg(long = "as", value_name = "STATUS")]
        ruling: quarantine::Wanted,
        /// Why, for those who read the history later
        #[arg(long)]
        reason: String,
        /// Who decides; without it $USER at this host
        #[arg(long, value_name = "NAME")]
        by: Option<String>,
    },
}

#[derive(Subcommand, Debug)]
enum ProductsCommand {
    /// Create or change products from a CSV file with the columns id,name,price,stock,seller.
    /// Stock counts for new products only; the server must not be running on the same SQLite file
    Import {
        #[arg(value_name = "FILE.csv")]
        file: PathBuf,
    },
    /// Every product with its price and its stock
    List,
}

#[derive(Subcommand, Debug)]
enum KeyCommand {
    /// Print a fresh API key, and the hash of it that PAYONCE_SERVER__API_KEYS wants
    New,
}

/// Runs one command; `false` where it found something wrong and has said so.
pub fn run() -> anyhow::Result<bool> {
    let arguments = Arguments::parse();
    let command = arguments.command.unwrap_or(Command::Serve);
    if let Command::Key(KeyCommand::New) = command {
        return Ok(new_key());
    }
    let runtime = Runtime::new().context("could not start the runtime")?;
    let load = |purpose| settings::load(arguments.config.as_deref(), environment(), purpose);
    let (payments, records) = (|| load(Purpose::Payments), || load(Purpose::Records));
    match command {
        Command::Demo(args) => runtime.block_on(crate::demo::run(args)),
        Command::Loadtest(args) => runtime.block_on(crate::loadtest::run(args)),
        Command::Serve => serve(load(Purpose::Serving)?, runtime),
        Command::Sandbox => sandbox(&records()?),
        Command::Migrate => {
            let settings = records()?;
            let _log = start_logging(&settings);
            runtime.block_on(migrate(&settings, &runtime))
        }
        Command::Order(OrderCommand::Show { order }) => {
            runtime.block_on(orders::show(&records()?, &runtime, &order))
        }
        Command::Order(OrderCommand::List { limit }) => {
            runtime.block_on(orders::list(&records()?, &runtime, limit))
        }
        Command::Quarantine(command) => {
            runtime.block_on(quarantine::run(&payments()?, &runtime, command))
        }
        Command::Products(ProductsCommand::Import { file }) => {
            runtime.block_on(catalogue::import(&records()?, &runtime, &file))
        }
        Command::Products(ProductsCommand::List) => {
            runtime.block_on(catalogue::list(&records()?, &runtime))
        }
        Command::Audit { days, json } => {
            runtime.block_on(audit::run(&payments()?, &runtime, days, json))
        }
        Command::Key(KeyCommand::New) => Ok(new_key()),
    }
}

/// Variables that are not text cannot be settings of ours.
fn environment() -> impl Iterator<Item = (String, String)> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    let settings = |(name, _): &(String, String)| !crate::crash::VARIABLES.contains(&name.as_str());
    std::env::vars_os().filter_map(text).filter(settings)
}

fn serve(settings: Settings, runtime: Runtime) -> anyhow::Result<bool> {
    let _log = start_logging(&settings);
    let runtimes = Runtimes::new(runtime).context("could not start the runtime of the journal")?;
    let system = actix::System::new();
    system.block_on(app::serve(settings, runtimes.clone()))?;
    Ok(true)
}

fn sandbox(settings: &Settings) -> anyhow::Result<bool> {
    let _log = start_logging(settings);
    actix::System::new().block_on(app::serve_sandbox(settings))?;
    Ok(true)
}

async fn migrate(settings: &Settings, runtime: &Runtime) -> anyhow::Result<bool> {
    let store = app::open_store(settings, Opened::Tool, runtime).await?;
    store.migrate().await?;
    say!("{} is up to date", settings.database.url_without_password());
    Ok(true)
}

fn new_key() -> bool {
    let (key, hash) = settings::new_api_key();
    say!("key   {key}");
    say!("hash  {hash}");
    say!();
    say!("Give the key to the shop's server; it is shown once. Give the hash to payonce:");
    say!("PAYONCE_SERVER__API_KEYS={hash}");
    true
}

/// Logs go to standard error; standard output is for what a command has to say.
#[must_use = "the log ends with it"]
fn start_logging(settings: &Settings) -> LogGuard {
    let (writer, lost, guard) = terminal::log();
    let filter = tracing_subscriber::EnvFilter::new(&settings.log.filter);
    let base = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .log_internal_errors(false)
        .with_writer(writer);
    let started = match settings.log.format {
        settings::LogFormat::Json => base.json().try_init(),
        settings::LogFormat::Text => base.compact().with_ansi(false).try_init(),
    };
    if let Err(error) = started {
        terminal::complain(format_args!("logging is not available: {error}"));
    }
    terminal::log_panics();
    terminal::tell_losses(lost);
    guard
}
