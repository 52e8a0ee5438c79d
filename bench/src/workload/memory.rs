//! Memory of the server's process tree, read once after everything before it has run.

use anyhow::Result;

use super::{Definition, Sample, interleave};
use crate::contender::Contender;
use crate::options::Options;
use crate::results::{Figure, Unit};

pub fn measure(options: &Options, contenders: &mut [Contender]) -> Result<Vec<Figure>> {
    let definition = |name: &str, text: &str| Definition {
        name: name.into(),
        unit: Unit::Mebibytes,
        text: format!("{text}, all processes of the server, after the workloads before it"),
        warm_up: false,
    };
    let once = Options { rounds: 1, ..options.clone() };
    let resident = definition("memory-resident", "resident memory (shared pages counted in each process)");
    let mut figures = vec![interleave(&once, contenders, &resident, |contender, _| {
        Ok(Sample { value: contender.memory()?.resident, ..Sample::default() })
    })?];
    let anonymous = definition("memory-anonymous", "anonymous memory");
    figures.push(interleave(&once, contenders, &anonymous, |contender, _| {
        Ok(Sample { value: contender.memory()?.anonymous, ..Sample::default() })
    })?);
    for contender in contenders.iter() {
        let memory = contender.memory()?;
        let note =
            format!("{} processes, proportional share {:.1} MiB", memory.processes, memory.proportional);
        if let Some(measured) = figures[0].side_mut(contender.side) {
            measured.notes.push(note);
        }
    }
    Ok(figures)
}
