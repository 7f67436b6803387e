;; Traps on every request.
(module
  (memory (export "memory") 1)
  (func (export "footloose_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "footloose_handle") (param i32 i32) (result i64) unreachable))
