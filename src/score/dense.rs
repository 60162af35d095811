//! The named features, worded so that a postmaster understands them. They mean the same in every
//! corpus.

/// Which way a feature may speak. Training may not reverse it: the opposite direction in one corpus
/// is an accident of that corpus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// May only speak for spam.
    Spam,
    /// May only speak against spam.
    Ham,
    /// Says nothing alone; trees may use it with other features.
    Context,
}

macro_rules! dense {
    ($($variant:ident $name:literal $direction:ident $prior:literal $doc:literal;)+) => {
        /// A feature that has a name and a direction, and is a reason that people read.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Dense { $(#[doc = $doc] $variant,)+ }

        /// All of them, in the order of the model file.
        pub(crate) const ALL: &[Dense] = &[$(Dense::$variant,)+];

        impl Dense {
            /// The name shown as a symbol.
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// The same as a sentence.
            pub(crate) const fn sentence(self) -> &'static str {
                match self { $(Self::$variant => $doc,)+ }
            }

            /// Which way it may speak.
            pub(crate) const fn direction(self) -> Direction {
                match self { $(Self::$variant => Direction::$direction,)+ }
            }

            /// What is known of it before any corpus is read: the weight of a full value, 0 or
            /// more, in its direction. Training starts here and stays near it; for lures that no
            /// corpus holds it is the whole weight.
            pub(crate) const fn prior(self) -> f32 {
                match self { $(Self::$variant => $prior,)+ }
            }
        }
    };
}

dense! {
    LinkToAddress "link_to_ip_address" Spam 1.6 "A link names a host by its IP address.";
    LinkPunycode "link_punycode_host" Spam 1.0 "A link host is an internationalised name.";
    LinkShortener "link_shortener" Spam 0.8 "A link goes through a shortener.";
    LinkFreeHosting "link_free_hosting" Spam 0.7 "A link leads to a free hosting or form service.";
    LinkCheapTld "link_cheap_tld" Spam 0.8 "A link host lies in a top-level domain of throw-away names.";
    LinkTextOtherHost "link_text_names_other_host" Spam 1.0 "The text of a link names one host, the link goes to another.";
    LinkWithLogin "link_with_login_part" Spam 2.0 "A link hides its host behind a login part (`bank.example@evil.example`).";
    LinkCarriesAddress "link_carries_mail_address" Spam 0.4 "A link carries a mail address in its query or fragment.";
    LinkOddPort "link_odd_port" Spam 0.8 "A link names a port.";
    LinkRandomPath "link_random_path" Spam 0.3 "The path of a link holds a long run of random letters and digits.";
    LinkRandomHost "link_random_host" Spam 1.0 "The host of a link cannot be pronounced or is full of digits.";
    LinkManyLabels "link_host_many_parts" Spam 0.5 "The host of a link has many labels or hyphens.";
    LinkBorrowsBrand "link_host_borrows_brand" Spam 1.2 "The host of a link holds the name of a brand it does not belong to.";
    LinkLoginPage "link_to_login_page" Spam 0.5 "The path of a link speaks of login, account or verification.";
    LinkToProgram "link_to_program_or_archive" Spam 0.6 "A link leads to a program, script, archive or disk image.";
    LinkRedirect "link_through_redirector" Spam 0.2 "A link carries another link inside.";
    LinkAroundPicture "link_around_picture" Spam 0.5 "A picture is the link.";
    LinksElsewhere "links_not_senders_domain" Spam 0.5 "Share of links that leave the From domain.";
    LinksOwn "links_senders_domain" Context 0.0 "Share of links that stay in the From domain.";
    LinksKnown "links_to_well_known_hosts" Ham 0.8 "Share of links to sites that everybody quotes: encyclopaedias, newspapers, code hosting, map services.";
    HasLink "holds_a_link" Spam 0.3 "There is a link.";
    LinkCount "many_links" Ham 0.8 "More than eight links, as in the letters of publishers: a lure needs one.";
    HostCount "number_of_link_hosts" Context 0.0 "How many different hosts the links name.";
    NameIsOtherAddress "display_name_is_other_address" Spam 1.5 "The display name shows a mail address that is not the sender's.";
    NameImitatesBrand "display_name_imitates_brand" Spam 1.5 "The display name borrows a brand whose domain the sender does not have.";
    SubjectBorrowsBrand "brand_named_but_not_linked" Spam 0.7 "Subject or text names a brand, and neither the sender nor any link belongs to it.";
    NameDecorated "display_name_decorated" Spam 1.0 "The display name holds signs, pictographs or exclamation marks.";
    ReplyElsewhere "reply_to_elsewhere" Spam 0.5 "Reply-To lies in another domain than From.";
    ReplyFreeMail "reply_to_free_mail" Spam 1.2 "Reply-To is another mailbox at a free mail provider.";
    SenderRandom "sender_address_random" Spam 0.5 "The local part of From is long and full of digits or consonants.";
    SenderFreeMail "sender_at_free_mail" Context 0.0 "From lies at a free mail provider.";
    SenderCheapTld "sender_cheap_tld" Spam 0.8 "From lies in a top-level domain of throw-away names.";
    SenderRole "sender_is_role_mailbox" Context 0.0 "From is a function, not a person (`info@`, `no-reply@`).";
    WritesToItself "sender_writes_to_itself" Spam 0.8 "To names the sender's own address.";
    RecipientOwnDomain "recipient_in_senders_domain" Context 0.0 "A recipient lies in the sender's domain.";
    FakeReply "subject_fakes_reply" Spam 0.1 "The subject begins with Re: or Fwd:, but the message neither answers nor quotes one.";
    AnswersMessage "answers_a_message" Ham 2.0 "In-Reply-To or References name a message.";
    QuotesMessage "quotes_a_message" Ham 1.5 "The text quotes another message.";
    NoRecipientShown "no_recipient_shown" Spam 1.0 "To names nobody (`undisclosed-recipients:;`). A message without To says nothing: scripts leave it out.";
    SeveralRecipients "several_named_recipients" Context 0.0 "A few recipients are named in To and Cc.";
    GreetsByName "greets_recipient_by_name" Ham 0.7 "The text begins with the name of the recipient.";
    GreetsAddress "greets_mail_address" Spam 0.6 "Subject or greeting hold the recipient's mail address or its local part as it stands.";
    SignedBySender "signed_with_senders_name" Ham 0.4 "The name in From also stands in the text.";
    Form "form_in_message" Spam 0.8 "The message holds a form or a password field.";
    ScriptInMail "script_in_message" Spam 0.5 "The HTML holds a script, a frame or a redirect.";
    OnlyImage "only_an_image" Spam 1.2 "A picture and hardly any text.";
    HtmlOnly "html_without_plain_text" Spam 0.6 "The text comes as HTML alone.";
    MuchMarkup "much_markup_little_text" Spam 0.3 "The HTML is many times longer than its text.";
    FontTricks "coloured_or_large_fonts" Spam 1.0 "Many coloured, centred or enlarged pieces of text.";
    TrackingPicture "tracking_picture" Spam 0.3 "A picture of one pixel tells the sender who reads.";
    SplitByComments "comments_inside_words" Spam 1.5 "HTML comments or empty elements split words.";
    CodedLetters "letters_as_character_references" Spam 1.0 "Plain letters are written as numeric character references.";
    ImageShare "pictures_for_words" Spam 0.5 "Many pictures for the words there are.";
    AttachHtml "attachment_html" Spam 1.5 "An HTML file is attached.";
    AttachExecutable "attachment_executable" Spam 2.0 "A program or script is attached.";
    AttachDoubleExtension "attachment_double_extension" Spam 2.0 "A file name has two extensions (`invoice.pdf.exe`).";
    AttachEncrypted "attachment_encrypted_archive" Spam 1.0 "An encrypted archive is attached.";
    AttachArchive "attachment_archive" Spam 0.6 "An archive is attached.";
    AttachDiskImage "attachment_disk_image" Spam 1.5 "A disk image is attached.";
    AttachMacros "attachment_with_macros" Spam 0.8 "An office file that may hold macros is attached.";
    AttachOnly "attachment_without_text" Spam 0.4 "An attachment and hardly any text.";
    AttachDocument "attachment_document" Context 0.0 "A document or PDF is attached.";
    AttachPicture "picture_inside" Context 0.0 "A picture is part of the message.";
    AttachWorkFile "attachment_of_daily_work" Ham 0.7 "A patch, log, table, calendar entry or visiting card is attached.";
    CalendarLure "calendar_entry_with_link" Spam 0.5 "A calendar entry carries a link that leaves the sender's domain.";
    HiddenText "hidden_text" Spam 0.4 "Text that is not shown, more than a preview line.";
    InvisibleCharacters "invisible_characters" Spam 0.7 "Zero-width characters inside the text.";
    LookAlikes "lookalike_letters" Spam 1.0 "Letters replaced by look-alikes of other alphabets.";
    SpacedLetters "letters_spaced_out" Spam 0.6 "Words are spelled letter by letter.";
    DigitsInWords "digits_inside_words" Spam 0.7 "Digits stand for letters inside words.";
    CryptoAddress "crypto_address" Spam 1.5 "A cryptocurrency address stands in the text.";
    PhoneNumber "phone_number" Context 0.0 "A phone number stands in the text.";
    PhoneBait "call_this_number_bait" Spam 1.5 "A phone number beside talk of a charge or subscription.";
    LargeMoney "large_sum_of_money" Spam 0.5 "A sum of millions is named.";
    MoneyShare "sums_of_money" Spam 0.7 "Share of sums among the words.";
    Pictographs "pictographs" Spam 0.7 "Emoji and dingbats in subject or text.";
    SubjectPictographs "subject_pictographs" Spam 0.7 "Emoji, stars or arrows in the subject.";
    SubjectRandomTail "subject_random_token" Spam 0.7 "The subject holds a run of letters and digits nobody typed.";
    SubjectEmpty "subject_empty" Context 0.0 "There is no subject.";
    TextLength "length_of_text" Context 0.0 "How long the text is.";
    ScarceText "hardly_any_text" Context 0.0 "Fewer than twelve words.";
    OtherScripts "letters_of_other_scripts" Context 0.0 "Share of letters outside the Latin alphabet.";
    Questions "asks_questions" Ham 0.3 "Share of sentences that ask.";
    CodeLines "lines_of_code_or_patch" Ham 1.5 "Lines of a patch, a program or a log.";
    SignatureMark "signature_separator" Ham 0.7 "A line of two hyphens parts the signature.";
    Variety "variety_of_words" Context 0.0 "Share of different words.";
    AsksForCredentials "asks_for_credentials" Spam 2.5 "Asks to verify an account or a password.";
    MailboxLimit "mailbox_full_bait" Spam 2.0 "Pretends a full mailbox or messages on hold.";
    AccountThreat "account_threat" Spam 2.0 "Threatens to close an account, or pretends a strange login.";
    PaymentProblem "payment_problem_bait" Spam 1.5 "Pretends a failed payment or an expired card.";
    DocumentBait "shared_document_bait" Spam 1.0 "Pretends a shared document, fax or voice message.";
    UrgentWords "urgent_words" Spam 1.2 "Presses for haste.";
    Deadlines "deadline_threats" Spam 1.3 "Sets a deadline or speaks of a last notice.";
    AdvanceFeeWords "advance_fee_words" Spam 2.5 "Words of advance-fee fraud: inheritance, donation, beneficiary.";
    AdvanceFeeMoney "advance_fee_money" Spam 1.8 "Talks of large sums and their transfer.";
    AdvanceFeePersons "advance_fee_persons" Spam 1.8 "Persons and places of advance-fee fraud.";
    FlatteringAddress "flattering_address" Spam 2.0 "Addresses a stranger as a dear friend, or introduces itself to one.";
    AsksPersonalData "asks_personal_data" Spam 1.5 "Asks for name, phone number, passport or another way of contact.";
    SecrecyWords "secrecy_words" Spam 1.5 "Asks for secrecy.";
    LotteryWords "lottery_words" Spam 1.8 "Speaks of a lottery, a prize or a winner.";
    ChiefFraud "chief_fraud_words" Spam 1.2 "Words of a pretended superior: gift cards, quick tasks, changed bank details.";
    ForeignOfficePhrases "stock_phrases_of_fraud" Spam 1.3 "Stock phrases of letters by strangers (`kindly`, `awaiting your urgent reply`).";
    ExtortionWords "extortion_words" Spam 2.0 "Words of extortion mail.";
    CryptoWords "crypto_words" Spam 1.5 "Talks about cryptocurrency.";
    InvestmentWords "investment_words" Spam 1.5 "Talks about investment and profit.";
    StockPump "stock_tip_words" Spam 1.5 "Praises a stock.";
    LoanWords "loan_words" Spam 2.0 "Offers loans or mortgages.";
    DebtWords "debt_words" Spam 2.0 "Offers relief of debt.";
    PharmacyWords "pharmacy_words" Spam 2.0 "Offers drugs.";
    HealthClaims "health_claims" Spam 1.8 "Promises health, weight or youth.";
    AdultWords "adult_words" Spam 2.0 "Sexual words.";
    DatingWords "dating_words" Spam 1.3 "Words of dating offers.";
    GamblingWords "gambling_words" Spam 1.5 "Words of gambling.";
    ReplicaWords "replica_words" Spam 1.5 "Offers watches and luxury goods.";
    PiracyWords "cheap_software_words" Spam 1.3 "Offers cheap software, films or television.";
    EasyMoney "easy_money_words" Spam 2.0 "Promises income without work.";
    JobBait "job_bait" Spam 1.0 "Offers a job to strangers.";
    SalesPressureWords "sales_pressure_words" Spam 1.5 "Words of unsolicited offers.";
    FreeClaims "free_of_charge_claims" Spam 2.0 "Promises something for nothing.";
    Guarantees "guarantees" Spam 1.8 "Promises a guarantee or a refund.";
    PriceWords "price_words" Spam 1.0 "Talks of prices and discounts.";
    ClickPhrases "click_phrases" Spam 1.5 "Tells the reader to click.";
    OptOutWords "opt_out_words" Spam 1.2 "Offers to be removed from a list.";
    BulkLegalese "bulk_mail_small_print" Spam 0.6 "The small print of bulk mail.";
    BulkMailTrade "bulk_mail_trade" Spam 1.5 "Sells addresses, traffic or advertising.";
    SearchRankTrade "search_rank_trade" Spam 1.5 "Sells search rank or web design.";
    TradeOffer "trade_offer_by_stranger" Spam 1.0 "A manufacturer or trader offers goods to strangers.";
    InvoiceBait "invoice_bait" Spam 1.0 "Pretends an invoice, order or payment in the attachment.";
    CallbackBait "charge_or_subscription_bait" Spam 0.8 "Pretends a charge or renewal.";
    ParcelBait "parcel_bait" Spam 1.0 "Pretends a parcel.";
    RefundBait "refund_or_grant_bait" Spam 1.2 "Pretends a refund, grant or settlement.";
    RewardBait "reward_or_survey_bait" Spam 1.5 "Promises a reward for a survey.";
    InsuranceWarranty "insurance_and_home_offers" Spam 1.2 "Offers insurance, warranties or things for the house.";
    DegreeTrade "degree_trade" Spam 1.3 "Sells university degrees.";
    OfficeSupplies "supplies_and_phone_offers" Spam 1.0 "Offers printer supplies, telephone or web hosting.";
    BigClaims "big_claims" Spam 1.5 "Exaggerates.";
    CodeLure "qr_code_lure" Spam 1.2 "Asks to scan a code or to renew a second factor.";
    GenericGreeting "generic_greeting" Spam 1.5 "Greets nobody in particular.";
    Congratulation "congratulation" Context 0.0 "Congratulates.";
    MeetingWords "meeting_words" Ham 1.0 "Talks about meetings.";
    DayWords "day_words" Ham 0.8 "Names days near by.";
    ReplyWords "reply_words" Ham 1.2 "Phrases of people who answer each other.";
    OpinionWords "opinion_words" Ham 1.5 "Gives an opinion or doubts.";
    Contractions "contractions" Ham 0.7 "Contractions of people who tell of themselves and others.";
    ReasoningWords "reasoning_words" Ham 0.6 "Words of reasoning.";
    SoftwareWords "software_words" Ham 1.2 "Talks about software.";
    OfficeWords "everyday_work_words" Ham 0.8 "Words of everyday work.";
    AcademicWords "academic_words" Ham 0.7 "Words of teaching and research.";
    PersonalWords "personal_words" Ham 0.5 "Words of private life.";
    SignOffWords "sign_off" Ham 0.4 "Signs off as people do.";
    QuoteWords "quote_marks" Ham 1.2 "Introduces a quoted message.";
    DeliveryReportWords "delivery_report_words" Ham 2.0 "Words of delivery reports and automatic replies.";
    OperationsWords "operations_words" Ham 0.8 "Words of those who run machines.";
    ProblemWords "problem_words" Ham 0.8 "Asks for help or tells of a problem.";
    ShareYou "speaks_to_reader" Spam 0.8 "Share of words that speak to the reader (`you`, `your`).";
    ShareThirdPerson "speaks_of_others" Ham 0.7 "Share of words that speak of other people.";
    SharePast "tells_the_past" Ham 0.7 "Share of words that tell what happened.";
    ShareArticles "small_words" Context 0.0 "Share of articles, prepositions and the like.";
    Exclamations "many_exclamation_marks" Spam 1.0 "Share of exclamation marks.";
    Capitals "many_capitals" Spam 0.7 "Share of words in capitals.";
    SubjectCapitals "subject_in_capitals" Spam 0.7 "The subject is in capitals.";
    SubjectShouts "subject_money_or_exclamation" Spam 1.0 "The subject holds an exclamation mark or a sum.";
    RandomWords "random_words" Spam 0.7 "Share of words nobody can pronounce.";
    BulkHeaders "bulk_headers" Context 0.0 "The header calls the message bulk or list mail (List-Id, List-Unsubscribe, Precedence).";
    UnsubscribeOwn "unsubscribe_at_senders_domain" Ham 0.3 "List-Unsubscribe leads to the From domain.";
    UnsubscribeElsewhere "unsubscribe_elsewhere" Spam 0.2 "List-Unsubscribe leads to another domain than From, and no list server sends.";
    UnsubscribeOneClick "unsubscribe_with_one_click" Ham 0.2 "One click unsubscribes (RFC 8058).";
    BulkFromFreeMail "bulk_mail_from_free_mail" Spam 0.6 "Bulk mail in the name of an address at a free mail provider.";
    SignedElsewhere "dkim_signed_by_other_domain" Spam 0.3 "The message is signed (DKIM), but by no domain that aligns with From.";
}

impl Dense {
    /// Whether corpora may teach it. Mail gains list fields and signatures on its way, so in a
    /// corpus they show how it was gathered. Such features keep their prior weight, and trees do
    /// not use them.
    pub(crate) const fn is_learned(self) -> bool {
        !matches!(
            self,
            Self::BulkHeaders
                | Self::UnsubscribeOwn
                | Self::UnsubscribeElsewhere
                | Self::UnsubscribeOneClick
                | Self::BulkFromFreeMail
                | Self::SignedElsewhere
        )
    }
}

/// How many there are.
pub(crate) const COUNT: usize = ALL.len();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_in_order() {
        let mut names: Vec<_> = ALL.iter().map(|d| d.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), COUNT);
        assert!(ALL.iter().enumerate().all(|(i, d)| *d as usize == i));
    }
}
