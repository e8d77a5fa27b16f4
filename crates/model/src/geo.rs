//! Where sites stand on the earth, and how far apart.
//!
//! Invariants: coordinates are finite and in range, so a distance is always a number between 0 and
//! half the earth's circumference. Distances are great circles (haversine, mean radius): within half
//! a per cent, which is closer than any regulation asks.

use serde::{Deserialize, Deserializer, Serialize};

/// Mean radius of the earth, km (IUGG).
const EARTH_RADIUS_KM: f64 = 6371.0088;

/// A place: degrees north and east, WGS 84.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Coordinates {
    latitude: f64,
    longitude: f64,
}

/// Why two numbers are not a place.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum GeoError {
    /// Not between −90 and 90.
    #[error(
        "latitude {0} is not between -90 and 90: write degrees north, as in -6.1754 for Jakarta"
    )]
    Latitude(f64),
    /// Not between −180 and 180.
    #[error(
        "longitude {0} is not between -180 and 180: write degrees east, as in 106.8272 for Jakarta"
    )]
    Longitude(f64),
}

impl Coordinates {
    /// A place, in degrees north and east.
    ///
    /// # Errors
    /// If either is out of range or not a number.
    pub fn new(latitude: f64, longitude: f64) -> Result<Self, GeoError> {
        if !(-90.0..=90.0).contains(&latitude) {
            return Err(GeoError::Latitude(latitude));
        }
        if !(-180.0..=180.0).contains(&longitude) {
            return Err(GeoError::Longitude(longitude));
        }
        Ok(Self { latitude, longitude })
    }

    /// Degrees north.
    #[must_use]
    pub const fn latitude(self) -> f64 {
        self.latitude
    }

    /// Degrees east.
    #[must_use]
    pub const fn longitude(self) -> f64 {
        self.longitude
    }

    /// Kilometres to `other`, along the great circle.
    #[must_use]
    pub fn distance_km(self, other: Self) -> f64 {
        let (lat_a, lat_b) = (self.latitude.to_radians(), other.latitude.to_radians());
        let half_lat = (lat_b - lat_a) / 2.0;
        let half_lon = (other.longitude - self.longitude).to_radians() / 2.0;
        let h = half_lat.sin().powi(2) + lat_a.cos() * lat_b.cos() * half_lon.sin().powi(2);
        // Rounding can lift h a hair above 1 for antipodes, where asin would have no answer.
        2.0 * EARTH_RADIUS_KM * h.sqrt().min(1.0).asin()
    }
}

impl<'de> Deserialize<'de> for Coordinates {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Raw {
            latitude: f64,
            longitude: f64,
        }
        let raw = Raw::deserialize(deserializer)?;
        Self::new(raw.latitude, raw.longitude).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(latitude: f64, longitude: f64) -> Coordinates {
        Coordinates::new(latitude, longitude).unwrap()
    }

    #[test]
    fn distances_of_known_places() {
        // Medan to Palembang, Jakarta to Depok: computed independently.
        let cases = [
            (at(3.5952, 98.6722), at(-2.9761, 104.7754), 996.97, 0.01),
            (at(-6.1754, 106.8272), at(-6.4025, 106.7942), 25.514, 0.001),
            (at(0.0, 0.0), at(0.0, 180.0), 20015.1, 1.0),
            (at(0.0, 179.5), at(0.0, -179.5), 111.2, 0.2),
            (at(-6.1754, 106.8272), at(-6.1754, 106.8272), 0.0, 0.001),
        ];
        for (a, b, km, tolerance) in cases {
            let measured = a.distance_km(b);
            assert!((measured - km).abs() <= tolerance, "{a:?} {b:?}: {measured}");
            assert!((measured - b.distance_km(a)).abs() < 1e-9);
        }
    }

    #[test]
    fn what_is_no_place_is_refused() {
        assert_eq!(Coordinates::new(106.8, -6.1), Err(GeoError::Latitude(106.8)));
        assert_eq!(Coordinates::new(-6.1, 190.0), Err(GeoError::Longitude(190.0)));
        assert!(Coordinates::new(f64::NAN, 0.0).is_err());
        assert!(Coordinates::new(0.0, f64::INFINITY).is_err());
    }
}
