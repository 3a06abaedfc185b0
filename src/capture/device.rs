//! The devices that a configuration sets up.

use std::sync::Arc;

use cic_kiosk::config::Config;

use super::camera::{Camera, Counts};
use super::escl::Escl;
use super::sane::Sane;
use super::{Fault, PageSource, Port, Source};

/// A device that is set up.
pub enum Device {
    /// A camera.
    Camera(Box<Camera>),
    /// A document scanner by eSCL.
    Escl(Box<Escl>),
    /// A document scanner through SANE.
    Sane(Box<Sane>),
}

impl Device {
    /// All that there can be.
    pub const ALL: [Source; 3] = [Source::Camera, Source::Escl, Source::Sane];

    /// Those that are enabled.
    pub fn enabled(config: &Config) -> Vec<Source> {
        let enabled = [config.camera.enabled, config.escl.enabled, config.sane.enabled];
        Self::ALL
            .into_iter()
            .zip(enabled)
            .filter_map(|(it, enabled)| enabled.then_some(it))
            .collect()
    }

    /// The one of this name, whether or not it is enabled.
    ///
    /// # Errors
    /// Which setting is wrong.
    pub fn named(name: Source, config: &Config) -> Result<Self, String> {
        Ok(match name {
            Source::Camera => {
                let (camera, gate) = (config.camera.clone(), config.quality.clone());
                Self::Camera(Box::new(Camera::new(camera, gate)))
            }
            Source::Escl => {
                Self::Escl(Box::new(Escl::new(config.escl.clone(), config.limits.max_bytes)?))
            }
            Source::Sane => Self::Sane(Box::new(Sane::new(config.sane.clone()))),
            Source::Api | Source::Folder | Source::Submit => {
                return Err(format!("{} is no device", name.as_str()));
            }
        })
    }
}

impl Device {
    /// What went wrong with a camera's pictures.
    pub fn counts(&self) -> Option<Arc<Counts>> {
        match self {
            Self::Camera(camera) => Some(camera.counts()),
            Self::Escl(_) | Self::Sane(_) => None,
        }
    }
}

impl PageSource for Device {
    async fn capture(&mut self, port: &mut Port) -> Result<(), Fault> {
        match self {
            Self::Camera(camera) => camera.capture(port).await,
            Self::Escl(escl) => escl.capture(port).await,
            Self::Sane(sane) => sane.capture(port).await,
        }
    }
}
