;; Asks for four gigabytes at once, is refused, and answers with an empty page all the same.
(module
  (memory (export "memory") 1)
  (func (export "footloose_alloc") (param i32) (result i32) (i32.const 1024))
  (data (i32.const 0) "\r\n")
  (func (export "footloose_handle") (param i32 i32) (result i64)
    (if (i32.ge_s (memory.grow (i32.const 65535)) (i32.const 0)) (then unreachable))
    (i64.const 2)))
