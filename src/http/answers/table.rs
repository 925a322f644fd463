//! The one table of error codes: what each is called, its HTTP status, what the caller should do next, and the words
//! for a buyer in Korean and in English. Codes are stable API: none is renamed, none is reused.

use actix_web::http::StatusCode;

/// What the caller should do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    FixRequest,
    /// Ask for the status later; the same request may be repeated too.
    Wait,
    /// The same request, later.
    RetrySame,
    /// Another paymentKey for the same order.
    PayAgain,
    NewOrder,
    ContactShop,
    None,
}

impl Next {
    pub const fn name(self) -> &'static str {
        match self {
            Next::FixRequest => "fix_request",
            Next::Wait => "wait",
            Next::RetrySame => "retry_same",
            Next::PayAgain => "pay_again",
            Next::NewOrder => "new_order",
            Next::ContactShop => "contact_shop",
            Next::None => "none",
        }
    }
}

/// One row of the table.
#[derive(Debug, PartialEq, Eq)]
pub struct Code {
    pub code: &'static str,
    pub name: &'static str,
    pub status: StatusCode,
    pub next: Next,
    pub korean: &'static str,
    pub english: &'static str,
}

macro_rules! codes {
    ($($name:ident $code:literal $status:ident $next:ident $korean:literal $english:literal)*) => {
        $(pub static $name: Code = Code {
            code: $code,
            name: stringify!($name),
            status: StatusCode::$status,
            next: Next::$next,
            korean: $korean,
            english: $english,
        };)*

        #[cfg(test)]
        pub static ALL: &[&Code] = &[$(&$name),*];
    };
}

codes! {
    NOT_ENOUGH_STOCK "E01002" CONFLICT FixRequest
        "재고를 그만큼 변경할 수 없습니다."
        "The stock cannot be changed by that much."
    PRODUCT_NOT_FOUND "E01003" NOT_FOUND FixRequest
        "존재하지 않는 상품입니다."
        "There is no such product."
    USER_NOT_FOUND "E02001" NOT_FOUND FixRequest
        "존재하지 않는 사용자입니다."
        "There is no such user."
    PAYMENT_NOT_FOUND "E03001" NOT_FOUND FixRequest
        "존재하지 않는 결제 정보입니다."
        "There is no such payment."
    INVALID_TOTAL_AMOUNT "E03002" BAD_REQUEST FixRequest
        "결제 금액이 주문 금액과 다릅니다."
        "The amount differs from the total of the order."
    INVALID_USER_ID "E03004" FORBIDDEN FixRequest
        "이 주문의 구매자가 아닙니다."
        "This is not the buyer of the order."
    INVALID_PAYMENT_KEY "E03005" CONFLICT Wait
        "이 주문은 다른 결제로 진행 중이거나 이미 결제되었습니다."
        "Another payment for this order is in progress or has been made."
    NOT_PAYABLE "E03008" CONFLICT NewOrder
        "더 이상 결제할 수 없는 주문입니다. 새로 주문해 주세요."
        "This order can no longer be paid. Please place a new order."
    PAYMENT_PENDING "E03009" SERVICE_UNAVAILABLE Wait
        "결제 결과를 확인하고 있습니다. 다시 결제하지 말고 잠시만 기다려 주세요."
        "The payment is being checked. Please wait a moment and do not pay again."
    PAYMENT_DECLINED "E03010" PAYMENT_REQUIRED PayAgain
        "결제가 거절되었습니다."
        "The payment was declined."
    ORDERED_PRODUCT_STOCK_NOT_ENOUGH "E03013" CONFLICT RetrySame
        "주문하신 상품의 재고가 부족합니다."
        "There is not enough stock of an ordered product."
    PAYMENT_UNDER_REVIEW "E03017" CONFLICT ContactShop
        "결제를 확인하고 있습니다. 다시 결제하지 말고 판매자에게 문의해 주세요."
        "The payment is under review. Please contact the shop, and do not pay again."
    INVALID_INPUT_VALUE "E99001" BAD_REQUEST FixRequest
        "입력값이 올바르지 않습니다."
        "The input is not valid."
    IDEMPOTENCY_KEY_REUSED "E99003" UNPROCESSABLE_ENTITY FixRequest
        "같은 멱등키가 다른 요청에 사용되었습니다."
        "The idempotency key was used with another request."
    BUSY "E99004" SERVICE_UNAVAILABLE RetrySame
        "지금은 요청을 처리할 수 없습니다. 결제 중이었다면 다시 결제하지 말고, 잠시 후 같은 요청을 다시 보내 주세요."
        "The request cannot be taken right now. If you were paying, do not pay again: repeat the same request shortly."
    UNAUTHENTICATED "E99401" UNAUTHORIZED FixRequest
        "인증이 필요합니다."
        "Authentication is required."
    FORBIDDEN "E99403" FORBIDDEN FixRequest
        "권한이 없습니다."
        "This is not allowed."
    NOT_FOUND "E99404" NOT_FOUND FixRequest
        "존재하지 않는 경로입니다."
        "There is nothing at this path."
    METHOD_NOT_ALLOWED "E99405" METHOD_NOT_ALLOWED FixRequest
        "허용되지 않는 메서드입니다."
        "This method is not allowed here."
    INTERNAL_SERVER_ERROR "E99999" INTERNAL_SERVER_ERROR Wait
        "내부 오류가 발생했습니다."
        "Something went wrong on our side."
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The contract, row by row.
    const CONTRACT: &str = "\
        E01002 NOT_ENOUGH_STOCK 409 fix_request
        E01003 PRODUCT_NOT_FOUND 404 fix_request
        E02001 USER_NOT_FOUND 404 fix_request
        E03001 PAYMENT_NOT_FOUND 404 fix_request
        E03002 INVALID_TOTAL_AMOUNT 400 fix_request
        E03004 INVALID_USER_ID 403 fix_request
        E03005 INVALID_PAYMENT_KEY 409 wait
        E03008 NOT_PAYABLE 409 new_order
        E03009 PAYMENT_PENDING 503 wait
        E03010 PAYMENT_DECLINED 402 pay_again
        E03013 ORDERED_PRODUCT_STOCK_NOT_ENOUGH 409 retry_same
        E03017 PAYMENT_UNDER_REVIEW 409 contact_shop
        E99001 INVALID_INPUT_VALUE 400 fix_request
        E99003 IDEMPOTENCY_KEY_REUSED 422 fix_request
        E99004 BUSY 503 retry_same
        E99401 UNAUTHENTICATED 401 fix_request
        E99403 FORBIDDEN 403 fix_request
        E99404 NOT_FOUND 404 fix_request
        E99405 METHOD_NOT_ALLOWED 405 fix_request
        E99999 INTERNAL_SERVER_ERROR 500 wait";

    #[test]
    fn the_table_is_the_contract_and_speaks_both_languages() {
        let row = |c: &&Code| {
            let status = c.status.as_u16();
            format!("{} {} {status} {}", c.code, c.name, c.next.name())
        };
        let table: Vec<String> = ALL.iter().map(row).collect();
        let contract: Vec<&str> = CONTRACT.lines().map(str::trim).collect();
        assert_eq!(table, contract);
        for code in ALL {
            assert!(code.english.is_ascii(), "{}", code.code);
            assert!(!code.korean.is_ascii(), "{}", code.code);
        }
    }
}
