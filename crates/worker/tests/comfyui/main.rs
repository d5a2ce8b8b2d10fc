//! The connector for ComfyUI against a double that replays what a real ComfyUI 0.3.64 said, message by message, and
//! judges everything that it is sent. (Of its pictures, recordings have the beginning and the length; of the many progress
//! messages of one node, all are kept in `sleep` and `slow`, and some in the others.) Each trap of the real server is a test. With `ROSTER_TEST_COMFYUI_URL` some of them
//! are done on a live server too.
#![allow(clippy::unwrap_used, reason = "it is a test")]

mod double;
mod files;
mod followed;
mod fork;
mod live;
mod lost;
mod refused;
mod rig;
mod routes;
mod stopped;
mod tape;
mod wire;
