//! What is said of servers, services, applications and PD: what the register has to hold.

use super::{Judged, Register, Verdict, hosting, is_of, words};
use crate::profile::{Hosting, Look, Profile, Rule, Subject};
use lumbung_model::PdId;
use lumbung_wire::messages::register::{Application, Pd, Server, Service};

/// What is said of everything that belongs to a PD and is no dataset.
#[must_use]
pub fn judge_register(profile: &Profile, register: &Register) -> Vec<Judged> {
    let judge = Judge { profile, register };
    let mut judged = Vec::new();
    for pd in &register.pds {
        let servers = register.servers.iter().filter(|one| one.pd == pd.id);
        judged.extend(servers.map(|server| judge.server(pd, server)));
        let services = register.services.iter().filter(|one| one.pd == pd.id);
        judged.extend(services.map(|service| judge.service(pd, service)));
        let applications = register.applications.iter().filter(|one| one.pd == pd.id);
        judged.extend(applications.map(|application| judge.application(pd, application)));
        judged.push(judge.pd(pd));
    }
    judged
}

struct Judge<'a> {
    profile: &'a Profile,
    register: &'a Register,
}

impl Judge<'_> {
    /// The rules about this kind of subject, of this PD.
    fn asked<'b>(&'b self, subject: Subject, pd: &'b Pd) -> impl Iterator<Item = &'b Rule> {
        let about = move |rule: &&Rule| rule.look.subject() == subject;
        self.profile.rules.iter().filter(about).filter(move |rule| is_of(&rule.applies, pd))
    }

    fn judged(
        &self,
        subject: Subject,
        (id, pd): (&[u8; 16], PdId),
        verdicts: Vec<Verdict>,
    ) -> Judged {
        Judged { kind: subject.as_str(), subject: id.to_vec(), pd: Some(pd), verdicts }
    }

    fn server(&self, pd: &Pd, server: &Server) -> Judged {
        let site = server.site.and_then(|id| self.register.sites.iter().find(|one| one.id == id));
        let hosted = hosting(Some(server), site.map(|site| site.kind));
        let verdicts = self
            .asked(Subject::Server, pd)
            .filter(|rule| rule.applies.hosted.is_none_or(|asked| asked == hosted))
            .map(|rule| {
                let reason = words(
                    "peladen tidak berada di Pusat Data",
                    "the server does not stand in the Pusat Data",
                );
                Verdict::of(&rule.id, hosted == Hosting::PusatData, "not-placed", reason)
            });
        self.judged(Subject::Server, (server.id.as_bytes(), pd.id), verdicts.collect())
    }

    fn service(&self, pd: &Pd, service: &Service) -> Judged {
        let applies = |rule: &&Rule| {
            rule.applies.critical.is_none_or(|critical| critical == service.critical)
        };
        let verdicts = self.asked(Subject::Service, pd).filter(applies).map(|rule| {
            if rule.look == Look::HasStandby {
                let reason = words(
                    "layanan belum memiliki peladen siaga",
                    "the service has no standby server",
                );
                return Verdict::of(&rule.id, service.standby.is_some(), "no-standby", reason);
            }
            let reason =
                words("SLA layanan belum ditetapkan", "the service's SLA has not been set");
            Verdict::of(&rule.id, service.sla_millipercent.is_some(), "no-sla", reason)
        });
        self.judged(Subject::Service, (service.id.as_bytes(), pd.id), verdicts.collect())
    }

    fn application(&self, pd: &Pd, application: &Application) -> Judged {
        let own = self
            .register
            .source_code
            .iter()
            .filter(|(dataset, _)| dataset.application == Some(application.id));
        let kept = own.clone().any(|(_, backed_up)| *backed_up);
        let entered = own.count() > 0;
        let (code, reason) = if entered {
            let reason = words("kode sumber belum tercadang", "its source code is not backed up");
            ("source-not-kept", reason)
        } else {
            let reason = words(
                "kode sumber tidak ada di register sebagai dataset",
                "no dataset of the register is its source code",
            );
            ("no-source", reason)
        };
        let verdicts = self
            .asked(Subject::Application, pd)
            .map(|rule| Verdict::of(&rule.id, kept, code, reason.clone()));
        self.judged(Subject::Application, (application.id.as_bytes(), pd.id), verdicts.collect())
    }

    fn pd(&self, pd: &Pd) -> Judged {
        let first =
            self.register.contact_persons.iter().filter(|one| one.pd == pd.id && one.tier == 1);
        let reachable =
            first.clone().any(|person| !(person.phone.is_empty() && person.email.is_empty()));
        let (code, reason) = if first.count() == 0 {
            let reason =
                words("belum ada narahubung tingkat 1", "no contact person of tier 1 is named");
            ("no-contact", reason)
        } else {
            let reason = words(
                "narahubung tingkat 1 tanpa telepon dan surel",
                "the contact person of tier 1 has neither telephone nor mail",
            );
            ("contact-unreachable", reason)
        };
        let verdicts = self
            .asked(Subject::Pd, pd)
            .map(|rule| Verdict::of(&rule.id, reachable, code, reason.clone()));
        self.judged(Subject::Pd, (pd.id.as_bytes(), pd.id), verdicts.collect())
    }
}
