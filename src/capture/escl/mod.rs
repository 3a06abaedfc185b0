//! Document scanners that speak eSCL (AirScan).
