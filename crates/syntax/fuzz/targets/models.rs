//! Files that come with models and runs: `MLmodel`, environments, and what a folder `mlruns` holds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use syntax::{environment, flat_yaml::FlatYaml, flavors, mlmodel};

fuzz_target!(|text: &str| {
    _ = mlmodel::read_signature(text).map_err(|error| error.to_string());
    _ = flavors::read_flavors(text).map_err(|error| error.to_string());
    _ = environment::read_requirements(text);
    _ = FlatYaml::read(text).map_err(|error| error.to_string());
    for read in [environment::read_python_env(text), environment::read_conda(text)] {
        if let Ok(mut environment) = read {
            environment.join(environment::read_requirements(text));
        }
    }
});
