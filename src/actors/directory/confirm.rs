//! The way in for a confirm: to the order's actor, with the caller's patience kept here.

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until};

use super::Directory;
use crate::actors::api::{ConfirmRequest, Heard, Patience};
use crate::actors::payment::{Confirm, Request, Waiter};
use crate::actors::shard::{Deliver, ForOrder};
use crate::domain::{Answer, Rejection, Status};
use crate::metrics::Shed;

impl Directory {
    /// Never an error: whatever breaks, the caller hears that the payment is being checked.
    pub async fn confirm(&self, request: ConfirmRequest, patience: Patience) -> Heard {
        let Ok(_place) = self.confirms.try_acquire() else {
            self.hands.metrics.shed(Shed::Door);
            return Heard::Rejected(Rejection::Busy { retry_after_s: 1 });
        };
        let until = match patience {
            Patience::UntilSettled(wait) => Instant::now() + wait,
            Patience::UntilAccepted { at_most, .. } => Instant::now() + at_most,
        };
        let pending = |status| {
            Heard::Answer(Answer::Pending {
                order_id: request.order,
                status,
            })
        };
        // An actor that fell with our message in its mailbox is rebuilt by its shard: once more, then pending.
        for _ in 0..2 {
            let (mut began, mut answer) = self.deliver_confirm(&request);
            let heard = match patience {
                Patience::UntilSettled(_) => tokio::select! {
                    heard = &mut answer => heard,
                    () = sleep_until(until) => return pending(Status::InProgress),
                },
                Patience::UntilAccepted { wait, .. } => tokio::select! {
                    heard = &mut answer => heard,
                    () = sleep(wait) => tokio::select! {
                        biased;
                        heard = &mut answer => heard,
                        Ok(()) = &mut began => {
                            let (order, status) = (request.order, Status::InProgress);
                            return Heard::Accepted { order, status };
                        }
                        () = sleep_until(until) => return pending(Status::InProgress),
                    },
                },
            };
            match (heard, patience) {
                // Durable and not known yet is exactly what such a caller asked to be told.
                (
                    Ok(Heard::Answer(Answer::Pending {
                        order_id: order,
                        status,
                    })),
                    Patience::UntilAccepted { .. },
                ) if began.try_recv().is_ok() => {
                    return Heard::Accepted { order, status };
                }
                (Ok(heard), _) => return heard,
                (Err(_), _) => {}
            }
        }
        pending(Status::Unknown)
    }

    fn deliver_confirm(
        &self,
        request: &ConfirmRequest,
    ) -> (oneshot::Receiver<()>, oneshot::Receiver<Heard>) {
        let ((began, has_begun), (answer, heard)) = (oneshot::channel(), oneshot::channel());
        let waiter = Waiter {
            began: Some(began),
            answer,
        };
        let ConfirmRequest {
            order,
            user,
            amount,
            payment_key,
            trace,
        } = request.clone();
        let request = Request {
            user,
            amount,
            payment_key,
        };
        let message = ForOrder::Confirm(Confirm {
            request,
            trace,
            waiter,
            since: Instant::now(),
        });
        self.shard(order).do_send(Deliver { order, message });
        (has_begun, heard)
    }
}
