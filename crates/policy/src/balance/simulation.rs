//! Simulations with figures.
