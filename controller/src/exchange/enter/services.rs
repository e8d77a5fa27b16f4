//! Entries of services, of what runs for them, and of who answers for them.

use lumbung_model::{PdId, ServiceId};
use lumbung_wire::messages::register::{
    ApplicationInput, ContactPersonInput, RegisterTable, ServiceInput,
};

use super::super::entries::{ApplicationEntry, ContactPersonEntry, ServiceEntry};
use super::{Refusal, Run, given};
use crate::db::services as rows;

impl Run<'_> {
    pub(super) fn service_input(&self, entry: &ServiceEntry) -> Result<ServiceInput, Refusal> {
        let pd = self.pd(&entry.pd)?;
        let standby =
            given(&entry.standby).map(|name| self.server("standby", (&entry.pd, &pd), name));
        Ok(ServiceInput {
            id: entry.id,
            pd,
            name: entry.name.clone(),
            critical: entry.critical,
            sla_millipercent: entry.sla_millipercent,
            hours: entry.hours.clone(),
            rto_s: entry.rto_s,
            sla_document: entry.sla_document.clone(),
            standby: standby.transpose()?,
        })
    }

    pub(super) fn service(
        &self,
        code: &str,
        pd: &PdId,
        name: &str,
    ) -> Result<Option<ServiceId>, Refusal> {
        if name.is_empty() {
            return Ok(None);
        }
        let found = rows::service_by_name(self.db, pd, name)?.map(|service| service.id);
        let table = (RegisterTable::Services, "service");
        self.named(found, "service", table, &[code, name]).map(Some)
    }

    pub(super) fn application_input(
        &self,
        entry: &ApplicationEntry,
    ) -> Result<ApplicationInput, Refusal> {
        let pd = self.pd(&entry.pd)?;
        let server = |name: &String| self.server("servers", (&entry.pd, &pd), name);
        Ok(ApplicationInput {
            id: entry.id,
            pd,
            name: entry.name.clone(),
            service: self.service(&entry.pd, &pd, &entry.service)?,
            technology: entry.technology.clone(),
            servers: entry.servers.iter().map(server).collect::<Result<_, _>>()?,
        })
    }

    pub(super) fn person_input(
        &self,
        entry: &ContactPersonEntry,
    ) -> Result<ContactPersonInput, Refusal> {
        let pd = self.pd(&entry.pd)?;
        Ok(ContactPersonInput {
            id: entry.id,
            pd,
            service: self.service(&entry.pd, &pd, &entry.service)?,
            tier: entry.tier,
            name: entry.name.clone(),
            phone: entry.phone.clone(),
            email: entry.email.clone(),
            telegram: entry.telegram.clone(),
        })
    }
}
