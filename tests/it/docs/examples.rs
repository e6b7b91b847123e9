//! The examples: their bundles, and every line for the shell in their READMEs.
