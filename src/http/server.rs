//! From an accepted connection to its answers, for one worker. The framework's own server would take the socket itself; this
//! one gives it a [`Line`], which reads no further ahead than its answers are taken.

use std::future::ready;
use std::time::Duration;

use actix_http::HttpService;
use actix_http::error::DispatchError;
use actix_service::{IntoServiceFactory, ServiceFactoryExt as _, fn_service, map_config};
use actix_web::body::MessageBody;
use actix_web::dev::{AppConfig, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::{App, Error};
use tokio::net::TcpStream;

use super::connections::{Line, Reaper};
use super::layers::Traffic;

/// For a client to take its last answer and to close.
const CLOSE_DEADLINE: Duration = Duration::from_secs(5);

/// What `leave` gives ends when the server stops.
pub fn connected<T, B, L>(
    app: App<T>,
    keep_alive: Duration,
    leave: impl Fn() -> L + 'static,
    reaper: Reaper,
    lines: Traffic,
) -> impl ServiceFactory<TcpStream, Config = (), Response = (), Error = DispatchError, InitError = ()>
where
    T: ServiceFactory<
            ServiceRequest,
            Config = (),
            Response = ServiceResponse<B>,
            Error = Error,
            InitError = (),
        > + 'static,
    B: MessageBody + 'static,
    L: Future<Output = ()> + 'static,
{
    let app = map_config(app.into_factory(), |()| AppConfig::default());
    let http = HttpService::build()
        .graceful_shutdown_signal(leave)
        .keep_alive(keep_alive)
        // The reaper times the first head, and says nothing.
        .client_request_timeout(Duration::ZERO)
        .client_disconnect_timeout(CLOSE_DEADLINE)
        // Whoever hangs up is gone: nobody's answer holds a slot. The payment itself goes on without its caller.
        .h1_allow_half_closed(false)
        .on_connect_ext(move |line: &Line, data| {
            data.insert(line.watched());
            data.insert(lines.connected());
        })
        .h1(app.map_err(|error: Error| error.error_response()));
    fn_service(move |io| {
        let line = reaper.watch(io);
        let peer = line.peer();
        ready(Ok((line, peer)))
    })
    .and_then(http)
}
