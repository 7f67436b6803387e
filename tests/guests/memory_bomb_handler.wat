;; Grows its memory until it is refused, and gives up.
(module
  (memory (export "memory") 1)
  (func (export "footloose_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "footloose_handle") (param i32 i32) (result i64)
    (loop $again (br_if $again (i32.ge_s (memory.grow (i32.const 1)) (i32.const 0))))
    unreachable))
