package postgres

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Plans are kept that were made when the tables were empty. None may read a whole table.
func TestPlansSuitManyRows(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, testOptions(t))
	defer s.Close()
	c, err := s.connectLane(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context())
	for i, statement := range append(slices.Clone(findRows[:]), countBatch, countChanges, addAliases, findClashing, createOne, createMany,
		changeOne, changeMany, deleteRows, removeAliases, takeBodies, retireBodies, removeBodies) {
		name := fmt.Sprintf("p%d", i)
		d, err := c.Prepare(t.Context(), name, s.sql(statement))
		if err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
		nothing := strings.TrimSuffix(strings.Repeat("NULL, ", len(d.ParamOIDs)), ", ")
		rows, err := c.Query(t.Context(), "EXPLAIN EXECUTE "+name+"("+nothing+")", pgx.QueryExecModeSimpleProtocol)
		if err != nil {
			t.Fatal(err)
		}
		plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range plan {
			if strings.Contains(line, "Seq Scan") || strings.Contains(line, "Hash") || strings.Contains(line, "Merge") {
				t.Errorf("%s\n%s", statement, strings.Join(plan, "\n"))
				break
			}
		}
	}
}
