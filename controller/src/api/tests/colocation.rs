//! Colocation over the API: what is refused with what stands there, what fits, and what is shown of it.

mod random;
mod refusals;
mod views;

use http::StatusCode;
use serde_json::{Value, json};

use super::{App, operator};

/// A rack with two feeds and a pool, a device of the Dinas, and for the city's own PD a reservation, a virtual machine and a
/// handover.
pub(super) const RACKS: &str = r#"
[[site]]
name = "Pusat Data"
kind = "pusat_data"
[[site.building]]
name = "Gedung A"
[[site.building.room]]
name = "Ruang 1"
kind = "data_centre"
[[site.building.room.rack]]
name = "R1"
height_u = 42
[[site.building.room.feed]]
name = "B"
volts = 230
amps = 16
partner = "A"
[[site.building.room.feed]]
name = "A"
rated_w = 4000
[[site.pool]]
name = "Klaster"
vcpus = 16
overcommit_percent = 200
memory_bytes = 68719476736
disk_bytes = 1099511627776

[[pd]]
code = "KOMINFO"
name = "Dinas Kominfo"
runs_pusat_data = true
[[pd.device]]
name = "inti-1"
kind = "switch"
serial = "SN-1"
purchased_on = "2020-01-01"
warranty_until = "2023-01-01"
condition = "baik"
site = "Pusat Data"
building = "Gedung A"
room = "Ruang 1"
rack = "R1"
lowest_u = 40
height_u = 2
face = "both"
draw_w = 500
feeds = ["A", "B"]

[[pd]]
code = "DINKES"
name = "Dinas Kesehatan"
kind = "dinas"
[[pd.server]]
name = "vm-1"
kind = "vps"
site = "Pusat Data"
pool = "Klaster"
vcpus = 8
memory_bytes = 17179869184
disk_bytes = 107374182400
[[pd.reservation]]
name = "Peladen baru"
site = "Pusat Data"
building = "Gedung A"
room = "Ruang 1"
rack = "R1"
lowest_u = 20
height_u = 4
face = "both"
until = "2027-06-30"
reason = "Surat 7/2027"
[[pd.handover]]
name = "root simrs-1"
server = "simrs-1"
from_person = "Budi"
to_person = "Siti"
handed_on = "2027-01-04"
letter = "BA 3/2027"
secret_kept_at = "Brankas Dinas, amplop 12"
"#;

/// A device that is to stand somewhere.
struct Place<'a> {
    pd: &'a str,
    name: &'a str,
    lowest_u: u8,
    height_u: u8,
    face: &'a str,
}

impl App {
    /// A city with [`RACKS`].
    async fn with_racks() -> Self {
        let app = Self::new();
        app.enter_text(RACKS).await;
        app
    }

    async fn device(&self, place: Place<'_>, more: Value) -> Value {
        let mut device = json!({
            "pd": self.named("pd", place.pd).await, "name": place.name, "kind": "server", "condition": "baik",
            "rack": self.named("racks", "R1").await, "lowest_u": place.lowest_u, "height_u": place.height_u,
            "face": place.face,
        });
        if let (Some(device), Value::Object(more)) = (device.as_object_mut(), more) {
            device.extend(more);
        }
        device
    }

    /// Enters a row, and tells its id.
    async fn adds(&self, list: &str, row: Value) -> String {
        let (status, row) = self.post(&operator(), &format!("/api/v1/{list}"), row).await;
        assert_eq!(status, StatusCode::CREATED, "{row}");
        row["id"].as_str().unwrap().to_owned()
    }

    /// The refusal of a row: its field, and its words.
    async fn adds_not(&self, list: &str, row: Value) -> (String, String) {
        let (status, refused) = self.post(&operator(), &format!("/api/v1/{list}"), row).await;
        assert_eq!(status, StatusCode::CONFLICT, "{refused}");
        told(&refused)
    }
}

fn told(refused: &Value) -> (String, String) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&refused["errors"][0]["field"]), text(&refused["detail"]))
}
