//! What is said of a dataset: the four steps, and what the profile asks of it.

use lumbung_model::SiteId;
use lumbung_model::Timestamp;
use lumbung_model::compliance::{
    self as weigh, DatasetCompliance, DatasetFacts, Reason, Rules, Step,
};
use lumbung_wire::messages::register::{Dataset, Pd, Server, SiteKind};

use super::{STEPS, Verdict, hosting, is_of, step_rule, words};
use crate::profile::{Look, Profile, Rule, Subject, Where, Wording};

/// A dataset with all that its rules look at.
pub struct DatasetCase<'a> {
    /// The dataset.
    pub dataset: &'a Dataset,
    /// Its PD.
    pub pd: &'a Pd,
    /// Its server, if it is known.
    pub server: Option<&'a Server>,
    /// The kind of the site that the server stands at.
    pub site: Option<SiteKind>,
    /// What has been weighed.
    pub compliance: &'a DatasetCompliance,
    /// The evidence, for rules with limits of their own.
    pub facts: &'a DatasetFacts,
    /// How long evidence lasts.
    pub evidence: Rules,
    /// The time.
    pub now: Timestamp,
    /// What a site is called.
    pub site_name: &'a dyn Fn(&SiteId) -> String,
}

/// What is said of a dataset.
#[must_use]
pub fn judge_dataset(profile: &Profile, case: &DatasetCase<'_>) -> Vec<Verdict> {
    let steps = STEPS.iter().zip(case.compliance.steps());
    let mut verdicts: Vec<Verdict> =
        steps.map(|(look, step)| case.of_step(&step_rule(*look), step)).collect();
    let asked = profile.rules.iter().filter(|rule| rule.look.subject() == Subject::Dataset);
    verdicts
        .extend(asked.filter(|rule| case.is_asked(&rule.applies)).map(|rule| case.of_rule(rule)));
    verdicts
}

impl DatasetCase<'_> {
    fn is_asked(&self, applies: &Where) -> bool {
        let hosted = hosting(self.server, self.site);
        is_of(applies, self.pd)
            && applies.hosted.is_none_or(|asked| asked == hosted)
            && (applies.urgency.is_empty() || applies.urgency.contains(&self.dataset.urgency))
            && (applies.kind.is_empty() || applies.kind.contains(&self.dataset.kind))
    }

    fn of_rule(&self, rule: &Rule) -> Verdict {
        let within_s = rule.within_days.map(|days| i64::from(days) * 86_400);
        // A limit of the rule's own stands in the place of the general one.
        let with = |change: &dyn Fn(&mut Rules, i64)| {
            let mut evidence = self.evidence;
            within_s.into_iter().for_each(|within_s| change(&mut evidence, within_s));
            weigh::evaluate(self.facts, &evidence, self.now)
        };
        let id = rule.id.as_str();
        match rule.look {
            Look::BackedUp => self.of_step(id, &self.compliance.backed_up),
            Look::AtDrc => self.of_step(id, &self.compliance.at_drc),
            Look::Verified => {
                self.of_step(id, &with(&|rules, s| rules.verification_interval_s = s).verified)
            }
            Look::Proven => self.of_step(id, &with(&|rules, s| rules.proof_interval_s = s).proven),
            Look::ApartMedium => {
                let within_s = within_s.unwrap_or(i64::MAX);
                let step = weigh::kept_apart(self.facts, &self.evidence, self.now, within_s);
                self.of_step(id, &step)
            }
            Look::Described => described(id, self.dataset),
            // `Look::subject` says that these are about something else.
            _ => Verdict::met(id),
        }
    }

    fn of_step(&self, rule: &str, step: &Step) -> Verdict {
        if step.met {
            return Verdict::met(rule);
        }
        let joined = |parts: Vec<String>, by: &str| parts.join(by);
        let each = |word: &dyn Fn(&Reason) -> String| step.reasons.iter().map(word).collect();
        let name = |site: &SiteId| (self.site_name)(site);
        Verdict {
            rule: rule.to_owned(),
            met: false,
            codes: joined(each(&|reason| reason.code().to_owned()), ","),
            reason: Wording {
                id: joined(each(&|reason| reason.indonesian(name)), "; "),
                en: joined(each(&|reason| reason.english(name)), "; "),
            },
        }
    }
}

/// Whether the register says of a dataset what pasal 13(9)–(11) of Tanjungbalai 62/2023 has it say.
fn described(rule: &str, dataset: &Dataset) -> Verdict {
    let fields = [
        ("owner", "penanggung jawab", "person in charge", &dataset.owner),
        ("distribution", "distribusi", "distribution", &dataset.distribution),
        ("retention", "masa retensi", "retention", &dataset.retention),
        ("location", "lokasi penyimpanan", "storage location", &dataset.location),
        ("period", "periode back up", "backup period", &dataset.period),
        ("media", "media back up", "backup media", &dataset.media),
    ];
    let missing: Vec<_> = fields.iter().filter(|(.., text)| text.trim().is_empty()).collect();
    let joined = |texts: Vec<&str>| texts.join(", ");
    let codes: Vec<_> = missing.iter().map(|(code, ..)| format!("no-{code}")).collect();
    let reason = words(
        format!("register belum menyebut: {}", joined(missing.iter().map(|one| one.1).collect())),
        format!("the register does not say: {}", joined(missing.iter().map(|one| one.2).collect())),
    );
    Verdict::of(rule, missing.is_empty(), &codes.join(","), reason)
}
