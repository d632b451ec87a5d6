//! The screen of `sampler top`: [`state`] knows what is looked at and no terminal, [`view`] draws it, [`keys`] turns keys into
//! changes of the state.

mod draw;
pub mod keys;
pub mod state;
pub mod view;
