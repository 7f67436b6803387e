;; Grows its memory and puts its answer into the new part.
(module
  (memory (export "memory") 1)
  (func (export "footloose_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "footloose_handle") (param i32 i32) (result i64)
    (drop (memory.grow (i32.const 64)))
    (i32.store16 (i32.const 4194304) (i32.const 0x0a0d))
    (i64.const 0x0040_0000_0000_0002)))
