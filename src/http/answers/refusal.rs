//! Everything that is not a plain "yes": the domain's rejections, the settled and unsettled refusals of a confirm, and
//! the door's own. Each finds its row of the table here, and the fields that it carries.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};

use super::problem::{Gateway, Problem, Shown, Wanting};
use super::table::{self, Code, Next};
use crate::actors::Refused;
use crate::domain::payment::QuarantineReason;
use crate::domain::rejection::{KeyConflict, NotPayable, Rejection};
use crate::domain::{Decline, Further, OrderId, ProductId, Status};
use crate::http::routes::{product_url, status_url};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    Rejected(Rejection),
    Declined {
        order: OrderId,
        decline: Decline,
        further: Further,
    },
    Pending {
        order: OrderId,
        status: Status,
    },
    UnderReview {
        order: OrderId,
        reason: Option<QuarantineReason>,
    },
    /// A change of the product whose outcome is not known yet; the product shows it.
    ProductPending {
        product: ProductId,
    },
    TooLarge {
        limit_bytes: usize,
    },
    /// Not JSON, by its own word.
    MediaType,
    Unauthenticated,
    Forbidden,
    NotFound,
    MethodNotAllowed {
        allow: &'static str,
    },
    /// Something that the house needs is missing; health only.
    NotReady(Vec<&'static str>),
    /// Our machinery broke; the log knows more.
    Broken,
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Refusal {
        Refusal::Rejected(rejection)
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Refusal {
        match refused {
            Refused::Rejected(rejection) => Refusal::Rejected(rejection),
            Refused::Fault => Refusal::Broken,
            Refused::Doubtful(product) => Refusal::ProductPending { product },
        }
    }
}

impl Refusal {
    /// What a caller who was shed should wait at least.
    pub const BUSY: Refusal = Refusal::Rejected(Rejection::Busy { retry_after_s: 1 });

    /// Long enough for most flights to land, short enough for a buyer who looks at a spinner.
    pub const PENDING_RETRY_S: u32 = 2;

    /// By default a flight asks on for so long before it rests; a conflicting paymentKey waits for that.
    const CONFLICT_RETRY_S: u32 = 5;

    pub fn invalid(field: impl Into<String>, wants: impl Into<String>) -> Refusal {
        Refusal::Rejected(Rejection::invalid(field, wants))
    }

    pub fn code(&self) -> &'static Code {
        match self {
            Refusal::Rejected(rejection) => code_of(rejection),
            Refusal::Declined { .. } => &table::PAYMENT_DECLINED,
            Refusal::Pending { .. } | Refusal::ProductPending { .. } => &table::PAYMENT_PENDING,
            Refusal::UnderReview { .. } => &table::PAYMENT_UNDER_REVIEW,
            Refusal::TooLarge { .. } | Refusal::MediaType => &table::INVALID_INPUT_VALUE,
            Refusal::Unauthenticated => &table::UNAUTHENTICATED,
            Refusal::Forbidden => &table::FORBIDDEN,
            Refusal::NotFound => &table::NOT_FOUND,
            Refusal::MethodNotAllowed { .. } => &table::METHOD_NOT_ALLOWED,
            Refusal::NotReady(_) => &table::BUSY,
            Refusal::Broken => &table::INTERNAL_SERVER_ERROR,
        }
    }

    /// The status of the row, but for a body that was not even read.
    pub fn status(&self) -> StatusCode {
        match self {
            Refusal::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Refusal::Rejected(_)
            | Refusal::Declined { .. }
            | Refusal::Pending { .. }
            | Refusal::UnderReview { .. }
            | Refusal::ProductPending { .. }
            | Refusal::Unauthenticated
            | Refusal::Forbidden
            | Refusal::NotFound
            | Refusal::MethodNotAllowed { .. }
            | Refusal::NotReady(_)
            | Refusal::Broken => self.code().status,
        }
    }

    /// The advice of the row, but for a declined paymentKey, and an order that is paid: there it depends on the order.
    pub fn next(&self) -> Next {
        match self {
            Refusal::Declined { further, .. } => match further {
                Further::PayAgain => Next::PayAgain,
                Further::Wait => Next::Wait,
                Further::Ask => Next::ContactShop,
                Further::OrderAnew => Next::NewOrder,
                Further::Nothing => Next::None,
            },
            Refusal::Rejected(Rejection::InvalidPaymentKey(KeyConflict::Paid)) => Next::None,
            Refusal::Rejected(_)
            | Refusal::Pending { .. }
            | Refusal::UnderReview { .. }
            | Refusal::ProductPending { .. }
            | Refusal::TooLarge { .. }
            | Refusal::MediaType
            | Refusal::Unauthenticated
            | Refusal::Forbidden
            | Refusal::NotFound
            | Refusal::MethodNotAllowed { .. }
            | Refusal::NotReady(_)
            | Refusal::Broken => self.code().next,
        }
    }

    /// The header, if any, that goes with the refusal.
    pub fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        let retry_after = |seconds| Some((header::RETRY_AFTER, HeaderValue::from(seconds)));
        match self {
            Refusal::Pending { .. } | Refusal::ProductPending { .. } => {
                retry_after(Refusal::PENDING_RETRY_S)
            }
            Refusal::Declined {
                further: Further::Wait,
                ..
            } => retry_after(Refusal::CONFLICT_RETRY_S),
            Refusal::NotReady(_) => retry_after(1),
            Refusal::Rejected(rejection) => retry_after_s(rejection).and_then(retry_after),
            Refusal::MethodNotAllowed { allow } => {
                Some((header::ALLOW, HeaderValue::from_static(allow)))
            }
            Refusal::Unauthenticated => {
                let scheme = HeaderValue::from_static("Bearer");
                Some((header::WWW_AUTHENTICATE, scheme))
            }
            Refusal::Declined { .. }
            | Refusal::UnderReview { .. }
            | Refusal::TooLarge { .. }
            | Refusal::MediaType
            | Refusal::Forbidden
            | Refusal::NotFound
            | Refusal::Broken => None,
        }
    }

    /// The fields that the error carries beside its code.
    pub(super) fn fields(&self) -> Problem<'_> {
        match self {
            Refusal::Rejected(rejection) => fields_of(rejection),
            Refusal::Declined { order, decline, .. } => Problem {
                order_id: Some(Shown(*order)),
                status_url: Some(status_url(*order)),
                gateway: Some(Gateway {
                    code: &decline.code,
                    message: &decline.message,
                }),
                ..Problem::default()
            },
            Refusal::Pending { order, status } => Problem {
                order_id: Some(Shown(*order)),
                status: Some(status.name()),
                status_url: Some(status_url(*order)),
                ..Problem::default()
            },
            Refusal::UnderReview { order, reason } => Problem {
                order_id: Some(Shown(*order)),
                status: Some(Status::Quarantined.name()),
                status_url: Some(status_url(*order)),
                reason: reason.map(QuarantineReason::name),
                ..Problem::default()
            },
            Refusal::ProductPending { product } => Problem {
                product_id: Some(product.get()),
                status_url: Some(product_url(*product)),
                ..Problem::default()
            },
            Refusal::TooLarge { limit_bytes } => {
                Problem::input("body", format!("at most {limit_bytes} bytes"))
            }
            Refusal::MediaType => {
                let wants = "application/json in UTF-8, without a Content-Encoding";
                Problem::input("Content-Type", wants)
            }
            Refusal::NotReady(names) => Problem {
                not_ready: Some(names),
                ..Problem::default()
            },
            Refusal::Unauthenticated
            | Refusal::Forbidden
            | Refusal::NotFound
            | Refusal::MethodNotAllowed { .. }
            | Refusal::Broken => Problem::default(),
        }
    }
}

fn code_of(rejection: &Rejection) -> &'static Code {
    match rejection {
        Rejection::NotEnoughStock { .. } => &table::NOT_ENOUGH_STOCK,
        Rejection::ProductNotFound(_) => &table::PRODUCT_NOT_FOUND,
        Rejection::UserNotFound => &table::USER_NOT_FOUND,
        Rejection::PaymentNotFound(_) => &table::PAYMENT_NOT_FOUND,
        Rejection::InvalidTotalAmount { .. } => &table::INVALID_TOTAL_AMOUNT,
        Rejection::InvalidUserId => &table::INVALID_USER_ID,
        Rejection::InvalidPaymentKey(_) => &table::INVALID_PAYMENT_KEY,
        Rejection::NotPayable(_) => &table::NOT_PAYABLE,
        Rejection::OutOfStock(_) => &table::ORDERED_PRODUCT_STOCK_NOT_ENOUGH,
        Rejection::IdempotencyKeyReused => &table::IDEMPOTENCY_KEY_REUSED,
        Rejection::Busy { .. } => &table::BUSY,
        Rejection::InvalidInput { .. } => &table::INVALID_INPUT_VALUE,
    }
}

fn retry_after_s(rejection: &Rejection) -> Option<u32> {
    match rejection {
        Rejection::Busy { retry_after_s } => Some(*retry_after_s),
        Rejection::InvalidPaymentKey(KeyConflict::InFlight) => Some(Refusal::CONFLICT_RETRY_S),
        Rejection::InvalidPaymentKey(KeyConflict::Paid)
        | Rejection::NotEnoughStock { .. }
        | Rejection::ProductNotFound(_)
        | Rejection::UserNotFound
        | Rejection::PaymentNotFound(_)
        | Rejection::InvalidTotalAmount { .. }
        | Rejection::InvalidUserId
        | Rejection::NotPayable(_)
        | Rejection::OutOfStock(_)
        | Rejection::IdempotencyKeyReused
        | Rejection::InvalidInput { .. } => None,
    }
}

fn fields_of(rejection: &Rejection) -> Problem<'_> {
    match rejection {
        Rejection::NotEnoughStock { product, stock } => Problem {
            product_id: Some(product.get()),
            stock: Some(*stock),
            ..Problem::default()
        },
        Rejection::ProductNotFound(product) => Problem {
            product_id: Some(product.get()),
            ..Problem::default()
        },
        Rejection::InvalidTotalAmount { expected } => Problem {
            total_amount: Some(expected.get()),
            ..Problem::default()
        },
        Rejection::NotPayable(why) => Problem {
            reason: Some(match why {
                NotPayable::Expired => "EXPIRED",
                NotPayable::TooManyAttempts => "TOO_MANY_ATTEMPTS",
            }),
            ..Problem::default()
        },
        Rejection::OutOfStock(shortages) => Problem {
            products: Some(shortages.iter().map(Wanting::from).collect()),
            ..Problem::default()
        },
        Rejection::InvalidInput { field, wants } => Problem::input(field.as_str(), wants.as_str()),
        Rejection::UserNotFound
        | Rejection::PaymentNotFound(_)
        | Rejection::InvalidUserId
        | Rejection::InvalidPaymentKey(_)
        | Rejection::IdempotencyKeyReused
        | Rejection::Busy { .. } => Problem::default(),
    }
}
