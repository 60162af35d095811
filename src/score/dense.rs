//! The named features: small, few, and worded so that a postmaster understands them. They mean the same in every corpus.

/// Which way a feature may speak. Training may not turn it round: what points the other way in one corpus is an accident
/// of that corpus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// May only speak for spam.
    Spam,
    /// May only speak against spam.
    Ham,
}

macro_rules! dense {
    ($($variant:ident $name:literal $direction:ident $doc:literal;)+) => {
        /// A named feature.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Dense { $(#[doc = $doc] $variant,)+ }

        /// All of them, in the order of the model file.
        pub const ALL: &[Dense] = &[$(Dense::$variant,)+];

        impl Dense {
            /// The name shown as a symbol.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// Which way it may speak.
            pub const fn direction(self) -> Direction {
                match self { $(Self::$variant => Direction::$direction,)+ }
            }
        }
    };
}

dense! {
    LinkToAddress "link_to_ip_address" Spam "A link names a host by its IP address.";
    LinkPunycode "link_punycode_host" Spam "A link host is an internationalised name.";
    LinkShortener "link_shortener" Spam "A link goes through a shortener.";
    LinkFreeHosting "link_free_hosting" Spam "A link leads to a free hosting or form service.";
    LinkCheapTld "link_cheap_tld" Spam "A link host lies in a top-level domain of throw-away names.";
    LinkTextOtherHost "link_text_names_other_host" Spam "The text of a link names one host, the link goes to another.";
    LinkWithLogin "link_with_login_part" Spam "A link hides its host behind a login part (`bank.example@evil.example`).";
    LinkCarriesAddress "link_carries_mail_address" Spam "A link carries a mail address in its query or fragment.";
    LinkOddPort "link_odd_port" Spam "A link names a port.";
    LinksElsewhere "links_not_senders_domain" Spam "Share of links that leave the From domain.";
    LinksOwn "links_senders_domain" Ham "Share of links that stay in the From domain.";
    NameIsOtherAddress "display_name_is_other_address" Spam "The display name shows a mail address that is not the sender's.";
    NameImitatesBrand "display_name_imitates_brand" Spam "The display name or subject borrows a brand whose domain the sender does not have.";
    ReplyElsewhere "reply_to_elsewhere" Spam "Reply-To lies in another domain than From.";
    ReplyFreeMail "reply_to_free_mail" Spam "Reply-To is another mailbox at a free mail provider.";
    SenderRandom "sender_address_random" Spam "The local part of From is long and full of digits or consonants.";
    FakeReply "subject_fakes_reply" Spam "The subject begins with Re: or Fwd:, but the message answers none.";
    AnswersMessage "answers_a_message" Ham "In-Reply-To or References name a message.";
    QuotesMessage "quotes_a_message" Ham "The text quotes another message.";
    NoRecipientShown "no_recipient_shown" Spam "To names nobody (`undisclosed-recipients:;`). A message without To says nothing: scripts leave it out.";
    SeveralRecipients "several_named_recipients" Ham "A few recipients are named in To and Cc.";
    Form "form_in_message" Spam "The message holds a form or a password field.";
    OnlyImage "only_an_image" Spam "A picture and hardly any text.";
    AttachHtml "attachment_html" Spam "An HTML file is attached.";
    AttachExecutable "attachment_executable" Spam "A program or script is attached.";
    AttachDoubleExtension "attachment_double_extension" Spam "A file name has two extensions (`invoice.pdf.exe`).";
    AttachEncrypted "attachment_encrypted_archive" Spam "An encrypted archive is attached.";
    AttachArchive "attachment_archive" Spam "An archive or disk image is attached.";
    AttachOnly "attachment_without_text" Spam "An attachment and hardly any text.";
    HiddenText "hidden_text" Spam "Text that is not shown, more than a preview line.";
    InvisibleCharacters "invisible_characters" Spam "Zero-width characters inside the text.";
    LookAlikes "lookalike_letters" Spam "Letters replaced by look-alikes of other alphabets.";
    CryptoAddress "crypto_address" Spam "A cryptocurrency address stands in the text.";
    PhoneBait "call_this_number_bait" Spam "A phone number beside talk of a charge or subscription.";
    LargeMoney "large_sum_of_money" Spam "A sum of millions is named.";
    AsksForCredentials "asks_for_credentials" Spam "Talks about verifying an account or a password.";
    UrgentWords "urgent_words" Spam "Pressure of time.";
    AdvanceFeeWords "advance_fee_words" Spam "Words of advance-fee fraud.";
    SalesPressureWords "sales_pressure_words" Spam "Words of unsolicited offers.";
    OptOutWords "opt_out_words" Spam "Offers to be removed from a list.";
    ExtortionWords "extortion_words" Spam "Words of extortion mail.";
    CryptoWords "crypto_words" Spam "Talks about cryptocurrency.";
    CallbackBait "charge_or_subscription_bait" Spam "Pretends a charge or renewal.";
    ParcelBait "parcel_bait" Spam "Pretends a parcel.";
    GenericGreeting "generic_greeting" Spam "Greets nobody in particular.";
    WorkWords "everyday_work_words" Ham "Words of everyday work.";
    Exclamations "many_exclamation_marks" Spam "Share of exclamation marks.";
    Capitals "many_capitals" Spam "Share of words in capitals.";
    SubjectCapitals "subject_in_capitals" Spam "The subject is in capitals.";
    SubjectShouts "subject_money_or_exclamation" Spam "The subject holds an exclamation mark or a sum.";
    RandomWords "random_words" Spam "Share of words nobody can pronounce.";
}

/// How many there are.
pub const COUNT: usize = ALL.len();

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
