//! Where the process may be killed on purpose. Built with the feature `crash-points`, it ends itself with SIGKILL at the point
//! that PAYONCE_CRASH_AT names (`Opened`, or `Opened:2` for the second time); built without, a point is no code at all, and
//! that variable is an unknown setting which stops the start. Everyone but the domain may look in; it looks at nobody.

/// A point by its name; `Batch(phase): changes` is reached once by each change; `while` covers a future, which it awaits;
/// `beside` is reached by a batch that comes there while another is there still.
macro_rules! fault_point {
    (Batch($phase:ident): $changes:expr) => {
        #[cfg(feature = "crash-points")]
        for change in $changes {
            $crate::crash::reached($crate::crash::Point::Batch(
                $crate::crash::Phase::$phase,
                change.kind(),
            ));
        }
        #[cfg(not(feature = "crash-points"))]
        const _: $crate::crash::Phase = $crate::crash::Phase::$phase;
    };
    (beside $point:ident: $changes:expr) => {
        #[cfg(feature = "crash-points")]
        $crate::crash::beside(
            $crate::crash::Point::$point,
            $changes.iter().map(|change| change.kind()),
        )
        .await;
        #[cfg(not(feature = "crash-points"))]
        const _: $crate::crash::Point = $crate::crash::Point::$point;
    };
    (while $point:ident: $work:expr) => {{
        #[cfg(feature = "crash-points")]
        let done = $crate::crash::during($crate::crash::Point::$point, $work).await;
        #[cfg(not(feature = "crash-points"))]
        let done = {
            const _: $crate::crash::Point = $crate::crash::Point::$point;
            $work.await
        };
        done
    }};
    ($point:ident) => {{
        #[cfg(feature = "crash-points")]
        $crate::crash::reached($crate::crash::Point::$point);
        #[cfg(not(feature = "crash-points"))]
        const _: $crate::crash::Point = $crate::crash::Point::$point;
    }};
}

macro_rules! named {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $one:ident),+ $(,)? }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$doc])* $one),+ }

        impl $name {
            pub const ALL: &[$name] = &[$($name::$one),+];
        }
    };
}

named! {
    /// How far a batch of the journal has come.
    Phase {
        /// Before it is committed.
        Queued,
        /// The transaction has begun; where the batch looks first, its rows are locked and read.
        Read,
        /// Every change is decided, nothing is written.
        Decided,
        /// Everything is written, COMMIT is not said.
        Written,
        /// COMMIT was answered.
        Committed,
        /// Those who wait have been told.
        Told,
    }
}

named! {
    /// What a change of a batch is for.
    Kind {
        Checkout,
        /// Journal A.
        Opening,
        Claim,
        /// UNKNOWN to IN_PROGRESS: the key under which the confirm goes out again.
        Again,
        /// To UNKNOWN: called, and not decided.
        Doubt,
        /// To DONE, FAILED or QUARANTINED.
        Settled,
        Expiry,
        /// The next slow question of a quarantined payment.
        Postpone,
        List,
        Restock,
        Register,
        Heartbeat,
        Close,
    }
}

macro_rules! points {
    ($($(#[$doc:meta])* $one:ident),+ $(,)?) => {
        /// All of them. One that is not reached by the crash matrix fails its test.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Point {
            $($(#[$doc])* $one,)+
            Batch(Phase, Kind),
        }

        impl Point {
            const SINGLE: &[Point] = &[$(Point::$one),+];
        }
    };
}

points! {
    // Start-up.
    Migrated,
    DemoDataIn,
    /// Orphans are marked due, and not yet committed.
    OrphansMarked,
    OrphansDue,
    SecretKnown,
    CrewStarted,
    /// The door listens; "ready" is not said.
    DoorOpen,
    // A flight.
    /// Goods reserved and admitted to Toss; nothing is written.
    Admitted,
    /// The intent is durable; nothing has left.
    Opened,
    /// The journal has answered; the actor has not heard of it.
    Recorded,
    Reported,
    /// The flight has ended; its callers are not answered.
    Landing,
    Answered,
    /// A batch is written while the one before it waits for its COMMIT. Not with a file, which has one writer at a time.
    Overlapped,
    // Calls: about to leave, out, and answered but not yet read.
    ConfirmReady,
    ConfirmOut,
    ConfirmAnswered,
    KeyLookUpReady,
    KeyLookUpOut,
    KeyLookUpAnswered,
    OrderLookUpReady,
    OrderLookUpOut,
    OrderLookUpAnswered,
    // Recovery.
    /// The timer has found somebody due, and sent for nobody.
    DueFound,
    ClaimReady,
    Claimed,
    ExpiryReady,
    ExpiryDone,
    // Shutdown.
    Drained,
    DoorClosed,
    TimerCeased,
    FlightsLanded,
    NodeClosed,
    Flushed,
    StoreClosing,
    StoreClosed,
}

impl Point {
    pub fn all() -> Vec<Point> {
        let of = |phase| move |kind| Point::Batch(phase, kind);
        let batch = Phase::ALL
            .iter()
            .flat_map(|phase| Kind::ALL.iter().copied().map(of(*phase)));
        Point::SINGLE.iter().copied().chain(batch).collect()
    }
}

impl std::fmt::Display for Point {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Point::Batch(phase, kind) => write!(f, "Batch.{phase:?}.{kind:?}"),
            single => write!(f, "{single:?}"),
        }
    }
}

/// The variables that arm a point, and name the file where the one that was hit is noted. No settings.
pub const VARIABLES: &[&str] = if cfg!(feature = "crash-points") {
    &["PAYONCE_CRASH_AT", "PAYONCE_CRASH_LOG"]
} else {
    &[]
};

#[cfg(feature = "crash-points")]
mod armed {
    use std::io::Write as _;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use tokio::sync::Notify;

    use super::{Kind, Point, VARIABLES};

    struct Armed {
        point: Point,
        /// Times that it is still to be reached.
        left: AtomicU32,
    }

    static ARMED: LazyLock<Option<Armed>> = LazyLock::new(|| {
        let wanted = std::env::var(VARIABLES[0]).ok()?;
        let (name, times) = wanted.split_once(':').unwrap_or((&wanted, "1"));
        let point = Point::all().into_iter().find(|p| p.to_string() == name);
        let (Some(point), Ok(times)) = (point, times.parse()) else {
            eprintln!("{}: no such point: {wanted}", VARIABLES[0]);
            std::process::abort();
        };
        let left = AtomicU32::new(times);
        Some(Armed { point, left })
    });

    /// A call that is out is given this long to arrive at Toss.
    const OUT: Duration = Duration::from_millis(60);

    pub fn reached(point: Point) {
        if let Some(armed) = &*ARMED
            && armed.point == point
            && armed.left.fetch_sub(1, Ordering::Relaxed) == 1
        {
            die(point);
        }
    }

    pub async fn during<F: Future>(point: Point, work: F) -> F::Output {
        if ARMED.as_ref().is_none_or(|armed| armed.point != point) {
            return work.await;
        }
        let out = async {
            tokio::time::sleep(OUT).await;
            reached(point);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            done = work => {
                reached(point);
                done
            }
            () = out => std::future::pending().await,
        }
    }

    /// One that waits here for a second is given this long.
    const BESIDE: Duration = Duration::from_secs(2);

    static THERE: AtomicU32 = AtomicU32::new(0);
    static SECOND: Notify = Notify::const_new();

    /// Only batches that open or settle a payment meet.
    pub async fn beside(point: Point, mut kinds: impl Iterator<Item = Kind>) {
        let armed = ARMED.as_ref().is_some_and(|armed| armed.point == point);
        if !armed || !kinds.any(|kind| matches!(kind, Kind::Opening | Kind::Settled)) {
            return;
        }
        if THERE.fetch_add(1, Ordering::SeqCst) > 0 {
            reached(point);
            SECOND.notify_one();
        } else {
            _ = tokio::time::timeout(BESIDE, SECOND.notified()).await;
        }
        THERE.fetch_sub(1, Ordering::SeqCst);
    }

    /// SIGKILL: no destructor, no flush, no goodbye.
    fn die(point: Point) -> ! {
        let log = std::env::var_os(VARIABLES[1]);
        let log = log.and_then(|path| {
            std::fs::OpenOptions::new()
                .append(true)
                .create(true)
                .open(path)
                .ok()
        });
        if let Some(mut log) = log {
            _ = log.write_all(format!("{point}\n").as_bytes());
        }
        _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        std::process::abort();
    }
}

#[cfg(feature = "crash-points")]
pub use armed::{beside, during, reached};
