//! What a mail server's refusal means: is it about the recipient's address, or about us?
//!
//! Invariants: final is only what says of this address that it takes no mail; whatever else is refused for good (policy,
//! relaying, the sender, the text, the server itself) somebody mends at the sending side, so it is tried again. Decided by
//! the enhanced status (RFC 3463, RFC 5248) where there is one; a bare code says less, and counts only after RCPT. Pure.

/// When a server refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// After the recipient was named.
    Recipient,
    /// After the text.
    Text,
}

/// Whether a refusal for good (5yz) is about the recipient's address. `text` is the answer without its code.
pub(super) fn is_about_recipient(code: u16, text: &str, phase: Phase) -> bool {
    match enhanced(text) {
        // Addressing: no such mailbox, no such domain, a syntax that is none, ambiguous, moved away, a domain that takes no
        // mail (RFC 7505). X.1.7 and X.1.8 are about the sender.
        Some((1, detail)) => matches!(detail, 1..=4 | 6 | 10),
        // Mailbox: disabled, full, a list that cannot be expanded. X.2.3 is about the length of the text.
        Some((2, detail)) => matches!(detail, 1 | 2 | 4),
        // Policy, unless the mailbox or the domain has changed hands (RFC 7293).
        Some((7, detail)) => matches!(detail, 17 | 18),
        // X.3: the server; X.4: network and routing (Exchange says 5.4.1 of what it does not relay to, too); X.5: the
        // protocol; X.6: the text.
        Some(_) => false,
        None => phase == Phase::Recipient && is_about_recipient_bare(code, text),
    }
}

/// RFC 5321 §4.2.3: no mailbox, not local, a name that is none; RFC 7504: a domain that takes no mail. 552 is full or too
/// many recipients, and temporary (§4.5.3.1.10). Exim and others say "relay not permitted" with a bare 550.
fn is_about_recipient_bare(code: u16, text: &str) -> bool {
    matches!(code, 550 | 551 | 553 | 556) && !text.to_ascii_lowercase().contains("relay")
}

/// Subject and detail of an enhanced status of class 5 (RFC 2034: it begins the text).
fn enhanced(text: &str) -> Option<(u16, u16)> {
    let mut numbers = text.split_whitespace().next()?.split('.');
    let mut next = || {
        let digits = numbers.next().filter(|one| (1..=3).contains(&one.len()))?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<u16>().ok())?
    };
    let (class, subject, detail) = (next()?, next()?, next()?);
    (class == 5 && numbers.next().is_none()).then_some((subject, detail))
}

#[cfg(test)]
mod tests {
    use super::Phase::{Recipient, Text};
    use super::*;

    #[test]
    fn only_what_is_said_of_the_address_is_final() {
        for (code, text, expected) in [
            (
                550,
                "5.1.1 <a@b>: Recipient address rejected: User unknown in virtual mailbox table",
                true,
            ),
            (550, "5.1.10 RESOLVER.ADR.RecipientNotFound", true),
            (550, "5.2.1 The email account that you tried to reach is disabled", true),
            (552, "5.2.2 <a@b>: mailbox full", true),
            (550, "5.7.17 Mailbox owner has changed", true),
            (550, "no such person", true),
            (553, "sorry, that domain isn't in my list of allowed rcpthosts", true),
            (556, "domain does not accept mail", true),
            // Postfix, sendmail, exim and Exchange on what they do not relay or like.
            (554, "5.7.1 <a@b>: Relay access denied", false),
            (550, "5.7.1 <a@b>... Relaying denied", false),
            (550, "relay not permitted", false),
            (550, "5.4.1 Recipient address rejected: Access denied", false),
            (
                554,
                "5.7.1 Service unavailable; Client host [1.2.3.4] blocked using zen.spamhaus.org",
                false,
            ),
            (553, "5.7.1 <l@b>: Sender address rejected: not owned by user lumbung", false),
            (550, "5.1.8 <l@b>: Sender address rejected: Domain not found", false),
            (550, "5.7.26 Unauthenticated email from b is not accepted", false),
            (552, "too many recipients", false),
            (554, "no SMTP service here", false),
            (552, "5.2.3 message too long", false),
            (550, "5.3.2 system not accepting messages", false),
            (501, "5.5.4 bad parameter", false),
        ] {
            assert_eq!(is_about_recipient(code, text, Recipient), expected, "{code} {text}");
        }
        // Whoever was taken as a recipient is not refused by a bare code after the text.
        assert!(!is_about_recipient(550, "no such person", Text));
        assert!(is_about_recipient(550, "5.1.1 unknown", Text));
    }

    #[test]
    fn an_enhanced_status_is_three_numbers_of_class_five() {
        assert_eq!(enhanced("5.7.1 no"), Some((7, 1)));
        assert_eq!(enhanced("5.1.10"), Some((1, 10)));
        for none in [
            "",
            "no",
            "5.7",
            "5.7.1.2",
            "4.7.1",
            "5..1",
            "5.7.1x",
            "5.7.1234",
            "5.-7.1",
            "550 5.7.1",
        ] {
            assert_eq!(enhanced(none), None, "{none}");
        }
    }
}
