//! A camera that looks down on the paper (V4L2).

mod watch;
