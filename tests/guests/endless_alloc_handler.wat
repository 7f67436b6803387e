;; Never finds room for the request.
(module
  (memory (export "memory") 1)
  (func (export "footloose_alloc") (param i32) (result i32)
    (loop $again (br $again))
    unreachable)
  (func (export "footloose_handle") (param i32 i32) (result i64) (i64.const 0)))
