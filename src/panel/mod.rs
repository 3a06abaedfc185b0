//! The kiosk's panel: lamp, button and status light.
