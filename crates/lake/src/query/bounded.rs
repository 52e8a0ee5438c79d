//! Functions whose answers are as long as a number in their arguments says.
//!
//! They take memory that no pool counts, in one step that no limit of time can break off; `lpad(x, 2000000000)` would end the
//! process. Each of them is put into a function that first adds up how long the answers will be.

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray as _},
        compute::cast,
        datatypes::{DataType, FieldRef, Int64Type, IntervalMonthDayNanoType, IntervalUnit, TimeUnit},
    },
    common::{Result, exec_datafusion_err},
    execution::{FunctionRegistry as _, context::SessionContext},
    logical_expr::{
        ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
        simplify::{ExprSimplifyResult, SimplifyContext},
    },
};

/// Bytes that one call may answer, which is for some thousand rows.
const ANSWER_BYTES_MAX: u64 = 256 << 20;
/// Bytes that an element of a list takes at most, where it is no text.
const ELEMENT_BYTES: u64 = 16;
/// Bytes of a character at most.
const CHARACTER_BYTES: u64 = 4;

const NANOS_A_DAY: i128 = 86_400_000_000_000;
const DAYS_A_MONTH: i128 = 28;

/// Puts bounds around the functions of a session.
pub(super) fn register(session: &SessionContext) -> Result<()> {
    for (name, sum) in FUNCTIONS {
        let inner = session.udf(name)?;
        let bounded = Bounded { inner: inner.as_ref().clone(), sum: *sum };
        session.register_udf(ScalarUDF::new_from_impl(bounded));
    }
    Ok(())
}

const FUNCTIONS: &[(&str, Sum)] = &[
    ("repeat", Sum::Repeated),
    ("lpad", Sum::Padded),
    ("rpad", Sum::Padded),
    ("array_repeat", Sum::Repeated),
    ("array_resize", Sum::Resized),
    ("range", Sum::Series),
    ("generate_series", Sum::Series),
];

/// How the length of an answer follows from the arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Sum {
    /// The first, as often as the second says.
    Repeated,
    /// As many characters as the second says.
    Padded,
    /// As many elements as the second says.
    Resized,
    /// From the first to the second in steps of the third.
    Series,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    inner: ScalarUDF,
    sum: Sum,
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        self.inner.simplify(args, info)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        // What stands for all rows is computed once.
        let is_one = args.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let rows = if is_one { 1 } else { args.number_rows };
        let arrays: Vec<ArrayRef> =
            args.args.iter().map(|argument| argument.to_array(rows)).collect::<Result<_>>()?;
        let bytes = self.sum.of(&arrays)?;
        if bytes > ANSWER_BYTES_MAX {
            return Err(exec_datafusion_err!(
                "{} would answer about {bytes} bytes at once; it may answer {ANSWER_BYTES_MAX}. Ask for less of it.",
                self.name()
            ));
        }
        self.inner.invoke_with_args(args)
    }
}

impl Sum {
    fn of(self, arguments: &[ArrayRef]) -> Result<u64> {
        let (Some(first), second) = (arguments.first(), arguments.get(1)) else { return Ok(0) };
        let rows = first.len().max(1) as u64;
        match (self, second) {
            (Self::Repeated, Some(times)) => {
                let each = (first.get_array_memory_size() as u64 / rows).max(ELEMENT_BYTES);
                Ok(total(times)?.saturating_mul(each))
            }
            (Self::Padded, Some(characters)) => Ok(total(characters)?.saturating_mul(CHARACTER_BYTES)),
            (Self::Resized, Some(elements)) => Ok(total(elements)?.saturating_mul(ELEMENT_BYTES)),
            (Self::Series, None) => Ok(total(first)?.saturating_mul(ELEMENT_BYTES)),
            (Self::Series, Some(stop)) => series(first, stop, arguments.get(2)),
            (_, None) => Ok(0),
        }
    }
}

/// What numbers add up to, those below 0 left out.
fn total(numbers: &ArrayRef) -> Result<u64> {
    let numbers = cast(numbers, &DataType::Int64)?;
    let numbers = numbers.as_primitive::<Int64Type>();
    Ok(numbers.iter().flatten().fold(0, |sum, number| sum.saturating_add(u64::try_from(number).unwrap_or(0))))
}

fn series(start: &ArrayRef, stop: &ArrayRef, step: Option<&ArrayRef>) -> Result<u64> {
    let unit = nanos_of(start.data_type());
    let (start, stop) = (cast(start, &DataType::Int64)?, cast(stop, &DataType::Int64)?);
    let (start, stop) = (start.as_primitive::<Int64Type>(), stop.as_primitive::<Int64Type>());
    let steps = steps(step, unit)?;
    let mut elements = 0_u64;
    for row in 0..start.len() {
        let length = (i128::from(stop.value(row)) - i128::from(start.value(row))).unsigned_abs();
        let step = steps.as_ref().map_or(1, |steps| steps[row].unsigned_abs()).max(1);
        elements = elements.saturating_add(u64::try_from(length / step).unwrap_or(u64::MAX));
    }
    Ok(elements.saturating_mul(ELEMENT_BYTES))
}

/// How far each row's series goes at a time, in units of its ends.
fn steps(step: Option<&ArrayRef>, unit: i128) -> Result<Option<Vec<i128>>> {
    let Some(step) = step else { return Ok(None) };
    if !matches!(step.data_type(), DataType::Interval(_)) {
        let step = cast(step, &DataType::Int64)?;
        return Ok(Some(
            step.as_primitive::<Int64Type>().values().iter().map(|step| i128::from(*step)).collect(),
        ));
    }
    let step = cast(step, &DataType::Interval(IntervalUnit::MonthDayNano))?;
    let step = step.as_primitive::<IntervalMonthDayNanoType>();
    let nanos = step.values().iter().map(|step| {
        let days = i128::from(step.months) * DAYS_A_MONTH + i128::from(step.days);
        (days * NANOS_A_DAY + i128::from(step.nanoseconds)) / unit
    });
    Ok(Some(nanos.collect()))
}

fn nanos_of(kind: &DataType) -> i128 {
    match kind {
        DataType::Date32 => NANOS_A_DAY,
        DataType::Timestamp(TimeUnit::Second, _) => 1_000_000_000,
        DataType::Timestamp(TimeUnit::Millisecond, _) | DataType::Date64 => 1_000_000,
        DataType::Timestamp(TimeUnit::Microsecond, _) => 1_000,
        _ => 1,
    }
}
