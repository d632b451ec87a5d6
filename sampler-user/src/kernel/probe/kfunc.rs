//! Loads a program that calls functions of the kernel, which aya 0.14 cannot: puts the functions' numbers into its calls, and hands it to
//! the kernel as one that a system call runs.

use std::collections::HashSet;
use std::ffi::CString;
use std::os::fd::{OwnedFd, RawFd};

use aya_obj::Object;
use aya_obj::generated::bpf_insn;
use sampler_ebpf::kfunc::{FIRST, GET_MEM_CGROUP, NAMES};

use crate::kernel::probe::btf::Btf;
use crate::kernel::probe::sys;

/// `BPF_JMP | BPF_CALL`.
const CALL: u8 = 0x85;
/// `BPF_PSEUDO_KFUNC_CALL`.
const KFUNC: u8 = 2;
/// `BPF_ALU64 | BPF_MOV | BPF_K`.
const MOVE: u8 = 0xb7;

/// Loads a program of an object, with maps that are already there. `Err` is the kernel's answer, or the function that it lacks.
pub fn load(object: &[u8], name: &str, types: &Btf, map: impl Fn(&str) -> Option<RawFd>) -> Result<OwnedFd, String> {
    let mut object = Object::parse(object).map_err(|error| error.to_string())?;
    let maps = object.maps.clone();
    // A map of another program has no number here; the kernel would refuse it.
    let maps = maps.iter().map(|(name, of)| (name.as_str(), map(name).unwrap_or(-1), of));
    object.relocate_maps(maps, &HashSet::new()).map_err(|error| error.to_string())?;
    let program = object.programs.get(name).ok_or("the object does not have it")?;
    let function = object.functions.get_mut(&program.function_key()).ok_or("it has no instructions")?;
    link(&mut function.instructions, |name| types.function(name))?;
    hand_over(name, &function.instructions, &program.license)
}

/// Puts the numbers of functions into the calls. One that may be missing becomes 0, any other is named.
fn link(instructions: &mut [bpf_insn], number: impl Fn(&str) -> Option<u32>) -> Result<(), String> {
    for instruction in instructions {
        let Some(index) = (instruction.imm as u32).checked_sub(FIRST) else { continue };
        let Some(name) = NAMES.get(index as usize) else { continue };
        if instruction.code != CALL || instruction.src_reg() != 0 {
            continue;
        }
        match number(name) {
            Some(number) => {
                instruction.set_src_reg(KFUNC);
                instruction.off = 0;
                instruction.imm = number as i32;
            }
            None if index >= GET_MEM_CGROUP - FIRST => {
                instruction.code = MOVE;
                instruction.imm = 0;
            }
            None => return Err(format!("this kernel has no {name}")),
        }
    }
    Ok(())
}

fn hand_over(name: &str, instructions: &[bpf_insn], license: &CString) -> Result<OwnedFd, String> {
    const SYSCALL: u32 = 31;
    const SLEEPABLE: u32 = 1 << 4;
    let mut prog_name = [0; 16];
    prog_name.iter_mut().zip(name.bytes().take(15)).for_each(|(to, from)| *to = from);
    let load = |log: &mut [u8]| {
        let attributes = sys::ProgLoad {
            prog_type: SYSCALL,
            insn_cnt: instructions.len() as u32,
            insns: instructions.as_ptr() as u64,
            license: license.as_ptr() as u64,
            log_level: u32::from(!log.is_empty()),
            log_size: log.len() as u32,
            log_buf: if log.is_empty() { 0 } else { log.as_mut_ptr() as u64 },
            kern_version: 0,
            prog_flags: SLEEPABLE,
            prog_name,
        };
        sys::descriptor(sys::PROG_LOAD, attributes)
    };
    load(&mut []).or_else(|_| {
        let mut log = vec![0u8; 1 << 20];
        load(&mut log).map_err(|error| {
            let text = String::from_utf8_lossy(log.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned();
            let last = text.lines().map(str::trim).rfind(|line| !line.is_empty() && !line.starts_with("processed "));
            last.map_or_else(|| error.to_string(), |line| format!("{error}: {line}"))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(number: u32) -> bpf_insn {
        // SAFETY: integers and a bit field of integers; all zeroes are a value.
        let mut instruction: bpf_insn = unsafe { std::mem::zeroed() };
        (instruction.code, instruction.imm) = (CALL, number as i32);
        instruction
    }

    #[test]
    fn calls_get_the_numbers_of_functions_and_helpers_stay() {
        let mut code = [call(5), call(FIRST), call(GET_MEM_CGROUP)];
        link(&mut code, |name| (name == NAMES[0]).then_some(77)).unwrap();
        let seen = code.map(|i| (i.code, i.src_reg(), i.imm));
        assert_eq!(seen, [(CALL, 0, 5), (CALL, KFUNC, 77), (MOVE, 0, 0)]);
        let refused = link(&mut [call(FIRST + 1)], |_| None);
        assert_eq!(refused, Err(format!("this kernel has no {}", NAMES[1])));
    }

    #[test]
    fn the_committed_object_calls_every_function() {
        let object = Object::parse(crate::kernel::probe::object::OBJECT).unwrap();
        for name in ["open_walk_fast", "open_walk_slow"] {
            let program = &object.programs[name];
            let code = &object.functions[&program.function_key()].instructions;
            for (index, name) in NAMES.iter().enumerate() {
                assert!(code.iter().any(|i| i.code == CALL && i.imm as u32 == FIRST + index as u32), "{name}");
            }
        }
    }
}
