;; Logs the same at each request.
(module
  (import "footloose" "log" (func $log (param i32 i32)))
  (memory (export "memory") 1)
  (func (export "footloose_alloc") (param i32) (result i32) (i32.const 1024))
  (data (i32.const 0) "\r\nsaid")
  (func (export "footloose_handle") (param i32 i32) (result i64)
    (call $log (i32.const 2) (i32.const 4))
    (i64.const 2)))
