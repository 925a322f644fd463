//! The table of the rules that the model must be able to miss, each with what happens without it.

/// One rule of the promise, broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Broken {
    // Keys.
    /// n advances though n was never answered.
    KeyAdvancesUnanswered,
    /// A take-over uses the next key instead of the journaled one.
    TakeOverAdvancesTheKey,
    /// An answered key is sent again.
    AnsweredKeyIsSentAgain,
    /// An answer that is not final is followed by n + 1 without a look-up.
    NextKeyWithoutLookUp,
    /// n + 1 is sent while the record still says n.
    NextKeyIsNotJournaled,
    /// An attempt that is older than Toss's memory of its keys is sent again.
    OldAttemptIsSentAgain,
    /// A node under another merchant key sends for an attempt that is not its own.
    StrangerSends,
    /// A series that ends with a try which could not leave counts as never sent, whatever became of the tries before.
    SeriesIsJudgedByItsLastTry,
    // Evidence that no money moved.
    SilenceIsADecline,
    AnswerThatDecidesNothingIsADecline,
    NotAttemptedIsADecline,
    /// 404 to a confirm, believed.
    NotFoundOnConfirmIsADecline,
    /// A decline of n > 1 is believed at once.
    DeclineOfALaterKeyIsBelieved,
    /// A decline is believed though another owner may have sent.
    DeclineAfterATakeOverIsBelieved,
    /// A decline that was not believed does not stop the sending.
    DoubtedDeclineIsSentAgain,
    /// Look-up 404 within the confirm window, believed.
    EarlyNotFoundIsBelieved,
    /// Look-up 404 within the window, of a key that was answered: n + 1 is sent.
    EarlyNotFoundAllowsTheNextKey,
    /// Look-up READY, believed: the buyer has not even authenticated.
    ReadyIsReadAsUnpaid,
    /// The window is judged when the 404 is heard, not when the question left.
    OldNotFoundIsBelieved,
    /// A send does not move the window.
    WindowIsNotMoved,
    /// A look-up by order that says ABORTED, believed.
    OrderLookUpIsBelieved,
    CanceledIsReadAsUnpaid,
    /// 404 of another merchant's Toss, believed.
    StrangersNotFoundIsBelieved,
    AbortedOverwritesAnApprovalSign,
    GivingUpFails,
    // The cross-check.
    ApprovalIsNotCrossChecked,
    OneForeignLookUpIsBelieved,
    // Section 4: an approval is never discarded.
    LateApprovalIsDropped,
    /// An approval of a payment that failed meanwhile makes it DONE.
    LateApprovalPaysTheFailed,
    /// The edge into quarantine does not take the stock again.
    LateApprovalTakesNoGoods,
    QuarantinedPaysWithoutGoods,
    QuarantinedSettlesThoughApprovalSeen,
    QuarantinedSettlesThoughAnswerGiven,
    ConfirmPastTheDeadlineStarts,
    // The states and the journal around them.
    SecondKeyStartsWhileTheFirstIsUnknown,
    UsedKeyStartsAgain,
    StaleWriteIsAccepted,
    /// A write of unknown fate is judged again though it has landed.
    DoubtfulWriteIsJudgedAgain,
    // The operator's ruling.
    /// FAILED without asking Toss.
    RuledFailedUnasked,
    /// DONE though Toss shows no approval.
    RuledDoneUnapproved,
    /// The ruling's write names no version.
    RulingIsUnguarded,
    /// The confirm window is judged when the operator rules, not when the first question left.
    RulingOnAnOldNotFound,
    /// FAILED though an approval was seen before.
    RuledFailedThoughApprovalSeen,
    /// Another merchant's Toss is believed.
    RulingOnAStrangersNotFound,
    /// What a caller was told is told otherwise from now on.
    RulingTakesBackADecline,
    /// DONE without goods.
    RuledDoneTakesNoGoods,
}

impl Broken {
    pub const ALL: [Broken; 46] = [
        Broken::KeyAdvancesUnanswered,
        Broken::TakeOverAdvancesTheKey,
        Broken::AnsweredKeyIsSentAgain,
        Broken::NextKeyWithoutLookUp,
        Broken::NextKeyIsNotJournaled,
        Broken::OldAttemptIsSentAgain,
        Broken::StrangerSends,
        Broken::SeriesIsJudgedByItsLastTry,
        Broken::SilenceIsADecline,
        Broken::AnswerThatDecidesNothingIsADecline,
        Broken::NotAttemptedIsADecline,
        Broken::NotFoundOnConfirmIsADecline,
        Broken::DeclineOfALaterKeyIsBelieved,
        Broken::DeclineAfterATakeOverIsBelieved,
        Broken::DoubtedDeclineIsSentAgain,
        Broken::EarlyNotFoundIsBelieved,
        Broken::EarlyNotFoundAllowsTheNextKey,
        Broken::ReadyIsReadAsUnpaid,
        Broken::OldNotFoundIsBelieved,
        Broken::WindowIsNotMoved,
        Broken::OrderLookUpIsBelieved,
        Broken::CanceledIsReadAsUnpaid,
        Broken::StrangersNotFoundIsBelieved,
        Broken::AbortedOverwritesAnApprovalSign,
        Broken::GivingUpFails,
        Broken::ApprovalIsNotCrossChecked,
        Broken::OneForeignLookUpIsBelieved,
        Broken::LateApprovalIsDropped,
        Broken::LateApprovalPaysTheFailed,
        Broken::LateApprovalTakesNoGoods,
        Broken::QuarantinedPaysWithoutGoods,
        Broken::QuarantinedSettlesThoughApprovalSeen,
        Broken::QuarantinedSettlesThoughAnswerGiven,
        Broken::ConfirmPastTheDeadlineStarts,
        Broken::SecondKeyStartsWhileTheFirstIsUnknown,
        Broken::UsedKeyStartsAgain,
        Broken::StaleWriteIsAccepted,
        Broken::DoubtfulWriteIsJudgedAgain,
        Broken::RuledFailedUnasked,
        Broken::RuledDoneUnapproved,
        Broken::RulingIsUnguarded,
        Broken::RulingOnAnOldNotFound,
        Broken::RuledFailedThoughApprovalSeen,
        Broken::RulingOnAStrangersNotFound,
        Broken::RulingTakesBackADecline,
        Broken::RuledDoneTakesNoGoods,
    ];
}
