//! Clients that take their time: heads and bodies byte by byte, answers that are not taken. Each is cut within what the
//! settings say, and a hundred of them stop nobody.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::common::House;
use crate::fort::{CHECKOUT, Fort};
use crate::wire::{Wire, request};

const BEAT: Duration = Duration::from_millis(60);

/// The settings below cut within two seconds, and five more are given to say good-bye; one is for a slow machine.
const CUT: Duration = Duration::from_secs(8);

fn plan() -> crate::common::Plan {
    House::plan()
        .env("SERVER__HEAD_TIMEOUT_MS", 1_000)
        .env("SERVER__BODY_TIMEOUT_MS", 1_000)
        .env("SERVER__KEEP_ALIVE_MS", 1_000)
        .env("SERVER__MAX_IN_FLIGHT", 16)
}

/// What is sent at once, and what follows byte by byte, over and over.
#[derive(Clone, Copy, Debug)]
enum Slowness {
    Silent,
    FirstHead,
    FirstHeadThenSilence,
    SecondHead,
    SecondHeadThenSilence,
    Body,
    BodyThenSilence,
    ChunkedBody,
    Upgrade,
    UnwantedBody,
    UnwantedChunkedBody,
    ForbiddenBody,
}

use Slowness::*;

const ALL: [Slowness; 12] = [
    Silent,
    FirstHead,
    FirstHeadThenSilence,
    SecondHead,
    SecondHeadThenSilence,
    Body,
    BodyThenSilence,
    ChunkedBody,
    Upgrade,
    UnwantedBody,
    UnwantedChunkedBody,
    ForbiddenBody,
];

impl Slowness {
    fn script(self) -> (String, &'static str) {
        let good = String::from_utf8(request("GET /health/live", &[], b"")).unwrap();
        let post = |path: &str, length: &str| {
            format!(
                "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{length}\r\n\r\n"
            )
        };
        let sized = "Content-Length: 9000";
        let chunked = "Transfer-Encoding: chunked";
        match self {
            Silent => (String::new(), ""),
            FirstHead => ("GET / HTTP/1.1\r\nx: ".to_owned(), "y"),
            FirstHeadThenSilence => ("GET / HTTP/1.1\r\nx: ".to_owned(), ""),
            SecondHead => (good + "GET / HTTP/1.1\r\nx: ", "y"),
            SecondHeadThenSilence => (good + "G", ""),
            Body => (post(CHECKOUT, sized), " "),
            BodyThenSilence => (post(CHECKOUT, sized) + "{", ""),
            ChunkedBody => (post(CHECKOUT, chunked), "1\r\n \r\n"),
            Upgrade => (
                post(CHECKOUT, "Connection: upgrade\r\nUpgrade: websocket"),
                " ",
            ),
            UnwantedBody => (post("/nowhere", sized), " "),
            UnwantedChunkedBody => (post("/nowhere", chunked), "1\r\n \r\n"),
            ForbiddenBody => (post("/api/v1/products/1/stock", chunked), "1\r\n \r\n"),
        }
    }

    /// Drips until the door ends the connection; how long that took.
    fn drip(self, address: SocketAddr) -> Duration {
        let (at_once, again) = self.script();
        let mut wire = Wire::to(address);
        wire.stream.set_read_timeout(Some(BEAT)).unwrap();
        let began = Instant::now();
        wire.send(at_once.as_bytes());
        while began.elapsed() < CUT {
            // A beat: whatever is said is heard, and an end is an end.
            if is_over(&wire) || !wire.send(again.as_bytes()) {
                break;
            }
        }
        began.elapsed()
    }
}

/// Listens for a beat at most.
fn is_over(wire: &Wire) -> bool {
    use std::io::Read as _;
    let until = Instant::now() + BEAT;
    while Instant::now() < until {
        match (&wire.stream).read(&mut [0; 4_096]) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(quiet) if matches!(quiet.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return true,
        }
    }
    false
}

#[test]
fn whoever_drips_a_head_or_a_body_is_cut_within_the_configured_time() {
    let fort = Fort::build(plan());
    let address = fort.address();
    std::thread::scope(|scope| {
        let drips = ALL.map(|slowness| (slowness, scope.spawn(move || slowness.drip(address))));
        for (slowness, drip) in drips {
            let took = drip.join().unwrap();
            println!("{slowness:?}: {took:?}");
            assert!(took < CUT, "{slowness:?} is held for {took:?} and more");
        }
    });
    fort.stands();
}

/// A client's pool may open a connection ahead of its use: an answer to nothing would spoil its first request.
#[test]
fn a_connection_that_is_not_used_is_closed_without_a_word() {
    use std::io::Read as _;
    let fort = Fort::build(plan());
    let mut unused = Wire::to(fort.address()).stream;
    unused.set_read_timeout(Some(CUT)).unwrap();
    let mut said = Vec::new();
    unused.read_to_end(&mut said).unwrap();
    assert_eq!(String::from_utf8_lossy(&said), "");
    fort.stands();
}

/// Sixteen requests may be in hand; ninety-six that drip, renewed as soon as they are cut, take none of these places.
#[test]
fn a_hundred_that_drip_stop_nobody() {
    let fort = Fort::build(plan().env("SERVER__BODY_TIMEOUT_MS", 20_000));
    let address = fort.address();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for slowness in ALL.iter().cycle().take(96) {
            let over = &over;
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let (at_once, again) = slowness.script();
                    let mut wire = Wire::to(address);
                    wire.stream.set_read_timeout(Some(BEAT)).unwrap();
                    wire.send(at_once.as_bytes());
                    while !over.load(Ordering::Relaxed)
                        && !is_over(&wire)
                        && wire.send(again.as_bytes())
                    {}
                }
            });
        }
        let end = scopeguard(&over);
        std::thread::sleep(Duration::from_millis(500));
        for _ in 0..30 {
            fort.serves();
        }
        drop(end);
    });
    fort.stands();
}

/// The drippers end with the test, however it ends.
fn scopeguard(over: &AtomicBool) -> impl Drop + '_ {
    struct End<'a>(&'a AtomicBool);
    impl Drop for End<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    End(over)
}

/// How long one may take nothing of its answers; nobody is cut before the last has come.
const DEAF: Duration = Duration::from_secs(12);

/// Clients that ask and ask and take no answer: what is kept for them stays small, they keep nobody awake, and they are cut.
#[test]
fn whoever_takes_no_answer_is_cut_and_costs_little() {
    let plan = House::plan().env("SERVER__HEAD_TIMEOUT_MS", DEAF.as_millis());
    let fort = Fort::build(plan);
    // What the first customers cost is not what these cost: connections of the database, buffers, threads.
    fort.serves();
    let rss = fort.house.server.rss_kib();
    let wires: Vec<Wire> = (0..16).map(|_| Wire::to(fort.address())).collect();
    ask_on_and_on(&wires, &fort);
    let grown = fort.house.server.rss_kib().saturating_sub(rss);
    assert!(
        grown < 16 * (3 << 10),
        "{grown} KiB for sixteen that do not listen"
    );
    fort.serves();
    let cut = wires.iter().filter(|wire| is_reset(wire)).count();
    assert_eq!(cut, 0, "cut before their time");
    let until = Instant::now() + DEAF + CUT;
    for wire in &wires {
        // Nothing is read here: only an end makes the socket fail.
        while !is_reset(wire) {
            assert!(Instant::now() < until, "still held");
            std::thread::sleep(BEAT);
        }
    }
    fort.stands();
}

/// Until nobody takes any more, and the server rests.
fn ask_on_and_on(wires: &[Wire], fort: &Fort) {
    let looks = request("GET /api/v1/products", &[], b"").repeat(2_000);
    let mut asked = vec![0; wires.len()];
    let began = Instant::now();
    loop {
        let (turn, spent) = (Instant::now(), fort.house.server.cpu());
        let mut taken = 0;
        while turn.elapsed() < Duration::from_millis(500) {
            for (wire, asked) in wires.iter().zip(&mut asked) {
                while let Some(more) = push(wire, &looks[*asked..]) {
                    *asked = (*asked + more) % looks.len();
                    taken += more;
                }
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let spent = fort.house.server.cpu().saturating_sub(spent);
        if taken == 0 && spent < turn.elapsed() / 5 {
            return;
        }
        assert!(
            began.elapsed() < DEAF,
            "{taken} bytes taken and {spent:?} spent on who does not listen"
        );
    }
}

/// How much of it the kernel takes; `None` where it takes nothing for now.
fn push(wire: &Wire, bytes: &[u8]) -> Option<usize> {
    use std::io::Write as _;
    wire.stream.set_nonblocking(true).unwrap();
    match (&wire.stream).write(bytes) {
        Ok(taken) => Some(taken),
        Err(full) if full.kind() == ErrorKind::WouldBlock => None,
        Err(broken) => panic!("cut before its time: {broken}"),
    }
}

/// Whether the other side has closed, found without taking any of what waits to be read.
fn is_reset(wire: &Wire) -> bool {
    use std::io::Write as _;
    wire.stream.set_nonblocking(true).unwrap();
    let sent = (&wire.stream).write(b"G");
    sent.is_err_and(|broken| broken.kind() != ErrorKind::WouldBlock)
}
