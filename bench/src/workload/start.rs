//! From exec to the first answered `/health`, on the data directory as it is by then, files warm in the cache.

use anyhow::Result;

use super::{Definition, Sample, interleave};
use crate::contender::Contender;
use crate::options::Options;
use crate::results::{Figure, Unit};

pub fn measure(options: &Options, contenders: &mut [Contender]) -> Result<Vec<Figure>> {
    let definition = Definition {
        name: "start".into(),
        unit: Unit::Milliseconds,
        text: "exec to first answered /health, existing data directory, warm file cache, orderly stop before"
            .into(),
        warm_up: false,
    };
    let figure = interleave(options, contenders, &definition, |contender, _| {
        contender.stop()?;
        Ok(Sample { value: contender.start()?.as_secs_f64() * 1e3, ..Sample::default() })
    })?;
    Ok(vec![figure])
}
