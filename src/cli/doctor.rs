//! `doctor`: whether everything that the kiosk needs is there and works.
