;; Says its answer begins in its memory and ends far outside, at an address that does not fit 32 bits.
(module
  (memory (export "memory") 1)
  (func (export "footloose_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "footloose_handle") (param i32 i32) (result i64) (i64.const 0x0000_fff0_0000_0020)))
