//! Where things stand: buildings of a site, and their rooms.

use lumbung_model::vocabulary;
use lumbung_model::{BuildingId, RoomId, SiteId};
use serde::{Deserialize, Serialize};

vocabulary! {
    /// What a room is for.
    RoomKind {
        /// Where servers stand.
        DataCentre = "data_centre",
        /// Where portable media are kept.
        MediaStore = "media_store",
        /// Any other.
        Other = "other",
    }
}

/// A building of a site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Building {
    /// Its id.
    pub id: BuildingId,
    /// The site it belongs to.
    pub site: SiteId,
    /// Its name.
    pub name: String,
    /// Street address.
    #[serde(default)]
    pub address: String,
    /// The city or regency (*kota*, *kabupaten*) whose jurisdiction it lies in.
    #[serde(default)]
    pub jurisdiction: String,
    /// Where it is written that no disaster and no security risk is to be expected there; empty: nobody has looked.
    #[serde(default)]
    pub hazard_assessment: String,
}

/// A building to be entered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BuildingInput {
    /// Its id, if it has one already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<BuildingId>,
    /// The site it belongs to.
    pub site: SiteId,
    /// Its name.
    pub name: String,
    /// Street address.
    #[serde(default)]
    pub address: String,
    /// The city or regency whose jurisdiction it lies in.
    #[serde(default)]
    pub jurisdiction: String,
    /// Where it is written that no disaster and no security risk is to be expected there.
    #[serde(default)]
    pub hazard_assessment: String,
}

/// A room of a building.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Room {
    /// Its id.
    pub id: RoomId,
    /// The building it is in.
    pub building: BuildingId,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub kind: RoomKind,
}

/// A room to be entered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RoomInput {
    /// Its id, if it has one already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<RoomId>,
    /// The building it is in.
    pub building: BuildingId,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub kind: RoomKind,
}
